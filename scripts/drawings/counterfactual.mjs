// Each scenario under two plans: how long a token takes, and how much of attention's time SMs stand idle.

import { COLOURS, drawing, line, rect, text } from "./svg.mjs";

const WIDTH = 920;
const ROW = 104;
const PANELS = [
  {
    title: "TPOT, mean, ms",
    left: 236,
    width: 260,
    value: ({ metrics }) => metrics.tpotMs.mean,
    unit: "",
    isCompared: true,
  },
  { title: "SMs idle in attention", left: 612, width: 220, value: idlePercent, unit: " %" },
];

export function counterfactual({ scenarios }) {
  const runs = scenarios.flatMap((scenario) => scenario.runs);
  const names = [...new Set(runs.map(({ deployment }) => deployment.attention))];
  const height = 130 + ROW * scenarios.length;
  const body = [text(24, 34, "The same deployments, two attention plans (simulated)", { of: "title" })];
  names.forEach((name, i) => {
    body.push(rect(236 + i * 150, 48, 12, 12, "bar", ` fill="${COLOURS[i][0]}" rx="2"`));
    body.push(text(254 + i * 150, 58.5, name));
  });
  for (const panel of PANELS) body.push(text(panel.left, 92, panel.title, { of: "strong" }));
  scenarios.forEach((scenario, row) => {
    const top = 112 + row * ROW;
    if (row > 0) body.push(line(24, top - 12, WIDTH - 24, top - 12, "thin"));
    const share = 100 * scenario.runs[0].metrics.stepTimeShare.attention;
    body.push(text(24, top + 20, scenario.name, { of: "strong" }));
    body.push(text(24, top + 38, scenario.gpus, { of: "quiet" }));
    body.push(text(24, top + 56, `attention ${share.toFixed(0)} % of a step`, { of: "quiet" }));
    for (const panel of PANELS) body.push(bars(panel, scenario.runs, top, largest(panel, runs)));
  });
  return drawing(WIDTH, height, "Time per token and idle SMs under two attention plans", body);
}

/** From zero, on one scale for all scenarios. */
function bars({ left, width, value, unit, isCompared }, runs, top, most) {
  const first = value(runs[0]);
  return runs.flatMap((run, i) => {
    const more = isCompared && i > 0 ? `  (+${Math.round(100 * (value(run) / first - 1))} %)` : "";
    const length = (value(run) * width) / most;
    const y = top + 6 + i * 34;
    return [
      rect(left, y, width, 24, "track", ' rx="2"'),
      rect(left, y, length, 24, "bar", ` fill="${COLOURS[i][0]}" rx="2"`),
      text(left + width + 8, y + 16.5, `${value(run).toFixed(1)}${unit}${more}`, { of: "strong" }),
    ];
  });
}

function largest({ value }, runs) {
  return Math.max(...runs.map(value));
}

function idlePercent({ metrics }) {
  return 100 * (1 - metrics.smBusyFraction);
}
