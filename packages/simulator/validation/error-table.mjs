// Errors of kernel cases, by kernel.

const quantile = (sorted, q) => {
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
};

/** Rows { kernel, case, heads, measuredUs, simulatedUs } to one line per kernel. */
export function errorTable(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.kernel, [...(groups.get(row.kernel) ?? []), row]);
  return [...groups].map(([kernel, group]) => {
    const errors = group.map((row) => row.simulatedUs / row.measuredUs - 1);
    const sizes = errors.map(Math.abs).sort((a, b) => a - b);
    const worst = group[errors.findIndex((error) => Math.abs(error) === sizes.at(-1))];
    return {
      what: kernel,
      cases: group.length,
      median: quantile(sizes, 0.5),
      p90: quantile(sizes, 0.9),
      worst: sizes.at(-1),
      bias: quantile(
        [...errors].sort((a, b) => a - b),
        0.5,
      ),
      worstCase: `${worst.case} ${worst.heads}`,
    };
  });
}
