// What this package sets out to reach, as data, and how far the measured figures are from it.

/** Each target: what is measured, the limit, and how to read the figure from the measurements (undefined: not there). */
const TARGETS = [
  ...["auto", "tight"].flatMap((policy) => [
    { what: `${policy}: mean imbalance, ≥ 8 tiles per worker`, limit: 1.01, read: from8(policy, "mean") },
    { what: `${policy}: worst imbalance, ≥ 8 tiles per worker`, limit: 1.03, read: from8(policy, "worst") },
  ]),
  { what: "balanced: mean imbalance, ≥ 8 tiles per worker", limit: 1.03, read: from8("balanced", "mean") },
  { what: "balanced: worst imbalance, ≥ 8 tiles per worker", limit: 1.1, read: from8("balanced", "worst") },
  {
    what: "balanced: worst imbalance, ≥ 64 tiles per worker",
    limit: 1.04,
    read: ({ balance }) => find(balance, "balanced")?.groups.at(-1)?.worst,
  },
  ...["balanced", "tight"].map((policy) => ({
    what: `${policy}: batches with more than 2(P − 1) partial slots`,
    limit: 0,
    read: ({ balance }) => find(balance, policy)?.partialSlots.batchesOverBound,
  })),
  {
    what: "balanced: bytes of a plan, 256 decodes, 32/8 heads",
    limit: 64 * 1024,
    unit: "B",
    read: ({ planTimes }) => find(planTimes, "balanced")?.bytes[256],
  },
  ...Object.entries({ 1: 2, 16: 4, 64: 8, 256: 20, 1024: 80 }).map(([size, limit]) => ({
    what: `balanced: plan time, ${size} decode${size === "1" ? "" : "s"}, 32/8 heads`,
    limit,
    unit: "µs",
    read: ({ planTimes }) => find(planTimes, "balanced")?.medianUs[size],
  })),
  {
    what: "balanced: garbage collections in 5,000 warm plans",
    limit: 0,
    read: ({ planTimes }) => find(planTimes, "balanced")?.collections?.collections,
  },
  {
    what: "balanced: step without change, 256 decodes",
    limit: 3,
    unit: "µs",
    read: ({ planTimes }) => find(planTimes, "balanced")?.stepUnchangedUs,
  },
  ...Object.entries({ core: "core entry, whole", main: "main entry, whole" }).map(([entry, what]) => ({
    what: `${what}, minified and gzipped`,
    limit: 20 * 1024,
    unit: "B",
    read: ({ packageSize }) => packageSize?.[entry].gzipBytes,
  })),
];

/** Every target with its figure: { what, limit, unit, measured, reached, excess }, excess as a fraction of the limit. */
export function compareWithTargets(measurements) {
  return TARGETS.map(({ what, limit, unit = "", read }) => {
    const measured = read(measurements);
    if (measured === undefined) return { what, limit, unit };
    return {
      what,
      limit,
      unit,
      measured,
      reached: measured <= limit,
      excess: limit === 0 ? undefined : measured / limit - 1,
    };
  });
}

function find(rows, policy) {
  return rows.find((row) => row.policy === policy);
}

function from8(policy, figure) {
  return ({ balance }) => find(balance, policy)?.from8[figure];
}
