"""Runs in MediaPipe's own environment: texts as JSON on standard input, label → score of each on standard output."""

import json
import sys

from mediapipe.tasks.python import text
from mediapipe.tasks.python.core.base_options import BaseOptions

options = text.TextClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with text.TextClassifier.create_from_options(options) as classifier:
    results = [classifier.classify(line).classifications[0].categories for line in json.load(sys.stdin)]
print(json.dumps([{category.category_name: category.score for category in categories} for categories in results]))
