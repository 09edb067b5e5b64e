// Models of the server that the page comes from: classification and comparison. Only `power-bert serve` has them.

const TOKEN_NEEDED = 401;

/** An answer of the server that is an error, with the server's message. */
export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.needsToken = status === TOKEN_NEEDED;
  }
}

/** The server's operations. */
export class Server {
  // Kept in this page only; a reload asks for it again.
  token = "";

  /** @returns {Promise<ServerClassifier[]>} */
  async models() {
    const described = await (await this.ask("models")).json();
    return described.map((description) => new ServerClassifier(this, description));
  }

  /**
   * @param {{inputs: string[][], teacher: string, models: string[]}} request
   * @returns {Promise<object>}
   */
  async compare(request) {
    return (await this.ask("compare", { ...request, truncate: true })).json();
  }

  // Sends a request: GET, or POST if there is a body.
  async ask(path, body) {
    const headers = { Accept: "application/json" };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (body) headers["Content-Type"] = "application/json";
    const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
    if (!response.ok) {
      const { error } = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
      throw new ServerError(response.status, error);
    }
    return response;
  }
}

/** A model of the server, which the page uses as it does a model in the browser. */
export class ServerClassifier {
  isRemote = true;

  constructor(server, description) {
    this.server = server;
    this.name = description.name;
    this.backend = `the server, ${description.runtime}`;
    this.isRegression = description.is_regression;
    // What the page shows of a model and needs to know of its inputs.
    this.file = {
      name: description.name,
      fileName: `on the server, ${description.runtime}`,
      bytes: { length: description.size_bytes },
      labels: description.labels,
      lengths: [description.max_length],
      takesPairs: description.takes_pairs,
      facts: {
        Task: description.task,
        Quantization: description.quantization,
        Labels: description.labels.join(", "),
      },
    };
  }

  async classify(first, second) {
    const start = performance.now();
    const inputs = [this.file.takesPairs ? [first, second] : [first]];
    const request = { model: this.name, inputs, truncate: true };
    const [scores] = await (await this.server.ask("predict", request)).json();
    const found = new Map(scores.map(({ label, score }) => [label, score]));
    const outputs = this.isRegression ? [scores[0].score] : this.file.labels.map((label) => found.get(label));
    return { outputs, roundTripMs: performance.now() - start, backend: this.backend };
  }

  /** Nothing of it is in the browser. */
  delete() {}
}
