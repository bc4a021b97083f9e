// Puts the error tables into docs/accuracy.md and draws its picture. The words between the tables are the page's own.

import { readFileSync, writeFileSync } from "node:fs";

const docs = new URL("../../../docs/", import.meta.url);
const page = new URL("accuracy.md", docs);
const picture = new URL("images/accuracy-tail.svg", docs);

const percent = (value) => `${(value * 100).toFixed(1)} %`;
const signed = (value) => `${value > 0 ? "+" : ""}${percent(value)}`;

export function writeAccuracyPage(kernelTable, serving, runs) {
  let text = readFileSync(page, "utf8");
  text = between(text, "kernel", kernelMarkdown(kernelTable));
  text = between(text, "serving", servingMarkdown(serving));
  writeFileSync(page, text);
  writeFileSync(picture, tailPicture(runs.find((run) => run.name === "RTX PRO 6000")));
}

/** Replaces what stands between `<!-- name -->` and the next `<!-- end -->`. */
function between(text, name, content) {
  const start = text.indexOf(`<!-- ${name} -->`) + `<!-- ${name} -->`.length;
  const end = text.indexOf("<!-- end -->", start);
  return `${text.slice(0, start)}\n\n${content}\n\n${text.slice(end)}`;
}

function kernelMarkdown(table) {
  return [
    "| against | cases | median error, either way | p90 | worst | bias |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...table.map(
      ({ what, cases, median, p90, worst, bias }) =>
        `| ${what} | ${cases} | ${percent(median)} | ${percent(p90)} | ${percent(worst)} | ${signed(bias)} |`,
    ),
  ].join("\n");
}

function servingMarkdown(rows) {
  return [
    "| against | what | error | target | reached | others | cases |",
    "| --- | --- | ---: | ---: | --- | --- | ---: |",
    ...rows.map(({ against, what, error, target, field, cases }) => {
      const figure = /error\|/.test(what) ? percent(error) : signed(error);
      const aim = target === undefined ? "" : percent(target);
      const reached = target === undefined ? "" : Math.abs(error) <= target ? "yes" : "**no**";
      return `| ${against} | ${what.replaceAll("|error|", "error")} | ${figure} | ${aim} | ${reached} | ${field} | ${cases} |`;
    }),
  ].join("\n");
}

/** Step time of every clear gap of the tail against the number of requests: measured, simulated, and from even batches. */
function tailPicture(run) {
  const width = 760;
  const height = 380;
  const left = 56;
  const bottom = 46;
  const top = 34;
  const gaps = run.simulated.tail.filter(({ steps }) => steps <= 6);
  const even = run.even.tail;
  const xOf = (requests) => left + (requests / 130) * (width - left - 16);
  const yOf = (ms) => height - bottom - ((ms - 10) / 20) * (height - bottom - top);
  const line = (points, style) =>
    `<path d="M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}" fill="none" ${style}/>`;
  const ticks = [
    ...[0, 20, 40, 60, 80, 100, 120].map(
      (n) => `<text x="${xOf(n)}" y="${height - bottom + 18}" text-anchor="middle">${n}</text>`,
    ),
    ...[10, 15, 20, 25, 30].map(
      (ms) =>
        `<text x="${left - 8}" y="${yOf(ms) + 4}" text-anchor="end">${ms}</text><path d="M${left} ${yOf(ms)}H${width - 16}" stroke="#ddd"/>`,
    ),
  ];
  const dots = gaps.map(
    ({ requests, measuredMs }) =>
      `<circle cx="${xOf(requests).toFixed(1)}" cy="${yOf(measuredMs).toFixed(1)}" r="2.6" fill="#222"/>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="13" fill="#222">
<title>Decode steps of vLLM 0.19 on an RTX PRO 6000: measured, simulated, and from even batches</title>
<rect width="${width}" height="${height}" fill="#fff"/>
${ticks.join("\n")}
${line(
  even.map(({ requests, simulatedMs }) => [xOf(requests), yOf(simulatedMs)]),
  'stroke="#c2571a" stroke-width="2" stroke-dasharray="5 4"',
)}
${line(
  run.simulated.tail.map(({ requests, simulatedMs }) => [xOf(requests), yOf(simulatedMs)]),
  'stroke="#1f6fb2" stroke-width="2"',
)}
${dots.join("\n")}
<text x="${left}" y="20">step time, ms</text>
<text x="${width - 16}" y="${height - 8}" text-anchor="end">requests in the step</text>
<g transform="translate(${left + 24} ${top + 12})"><circle cx="10" cy="-4" r="2.6"/><text x="28">measured</text><path d="M0 16H20" stroke="#1f6fb2" stroke-width="2"/><text x="28" y="20">simulated from the plan</text><path d="M0 36H20" stroke="#c2571a" stroke-width="2" stroke-dasharray="5 4"/><text x="28" y="40">as if all requests were equally long</text></g>
</svg>
`;
}
