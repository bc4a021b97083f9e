// Units, and small statistics of measurements.

export const MIB = 2 ** 20;
export const GIB = 2 ** 30;

export const round = (value, digits = 4) => Number(value.toPrecision(digits));
export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
/** The median, of an even number of values the mean of the middle two. */
export const middle = (values) => (median(values) - median(values.map((value) => -value))) / 2;

/** Slope and intercept of y over x. */
export function line(points) {
  const n = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  let xy = 0;
  let xx = 0;
  for (const [x, y] of points) {
    xy += (x - meanX) * (y - meanY);
    xx += (x - meanX) ** 2;
  }
  return { slope: xy / xx, intercept: meanY - (xy / xx) * meanX };
}

export function groupBy(rows, keyOf) {
  const groups = new Map();
  for (const row of rows) groups.set(keyOf(row), [...(groups.get(keyOf(row)) ?? []), row]);
  return groups;
}
