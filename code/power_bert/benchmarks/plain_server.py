"""The plain way to serve a model, with which the server compares itself: FastAPI, one request after the other."""

from __future__ import annotations

from fastapi import FastAPI, Response

from power_bert_runtime import Classifier
from power_bert_runtime.serving.predict_route import PredictRequest, as_examples
from power_bert_runtime.serving.server_metrics import ServerMetrics


def plain_app(classifier: Classifier) -> FastAPI:
    """Make an application that predicts each request by itself, in FastAPI's threads."""
    app = FastAPI()
    process = ServerMetrics()

    @app.post("/predict")
    def predict(body: PredictRequest) -> list[dict[str, float]]:
        return [prediction.probabilities for prediction in classifier.predict(as_examples(body.inputs))]

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(process.text())

    return app
