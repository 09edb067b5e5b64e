// What compares the outputs and times of two models.

/** Cosine similarity of two outputs. */
export function cosine(one, other) {
  const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
  return dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other));
}

/** Total variation distance of two probability distributions: half of the sum of the absolute differences. */
export function totalVariation(one, other) {
  return one.reduce((sum, value, index) => sum + Math.abs(value - other[index]), 0) / 2;
}

/** Whether two models give the same labels, so that their outputs can be compared. */
export function haveSameLabels(one, other) {
  return one.labels.length === other.labels.length && one.labels.every((label, index) => label === other.labels[index]);
}

export function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
