// Shapes and colours of the drawings in docs/: plain SVG text that looks right on light and dark pages.

/** Fill and text colours of requests A, B, C…: Observable's ten, which stay apart for most colour-blind readers. */
export const COLOURS = [
  ["#4269d0", "#ffffff"],
  ["#efb118", "#1f2328"],
  ["#ff725c", "#1f2328"],
  ["#6cc5b0", "#1f2328"],
  ["#9c6b4e", "#ffffff"],
  ["#a463f2", "#ffffff"],
  ["#97bbf5", "#1f2328"],
  ["#ff8ab7", "#1f2328"],
  ["#3ca951", "#ffffff"],
  ["#9498a0", "#1f2328"],
];

export const nameOf = (request) => String.fromCharCode(65 + request);

const STYLE = `
    svg { font-family: -apple-system, BlinkMacSystemFont, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; font-size: 13px; }
    .page { fill: #ffffff; stroke: #d1d9e0; }
    text { fill: #1f2328; }
    .quiet { fill: #59636e; }
    .small { font-size: 11px; }
    .title { font-size: 15px; font-weight: 600; }
    .strong { font-weight: 600; }
    .mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 12px; }
    .line { stroke: #59636e; fill: none; }
    .thin { stroke: #d1d9e0; fill: none; }
    .bound { stroke: #cf222e; fill: none; stroke-width: 2; }
    .bound-text { fill: #cf222e; font-weight: 600; }
    .track { fill: #f0f2f5; }
    .box { fill: #f6f8fa; stroke: #59636e; }
    .curve { stroke: #0969da; fill: none; stroke-width: 2; }
    .curve-text { fill: #0969da; font-weight: 600; }
    .head { fill: #59636e; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; stroke: #3d444d; }
      text { fill: #e6edf3; }
      .quiet { fill: #9198a1; }
      .line { stroke: #9198a1; }
      .thin { stroke: #3d444d; }
      .bound { stroke: #ff7b72; }
      .bound-text { fill: #ff7b72; }
      .track { fill: #1c2129; }
      .box { fill: #151b23; stroke: #9198a1; }
      .curve { stroke: #58a6ff; }
      .curve-text { fill: #58a6ff; }
      .head { fill: #9198a1; }
    }`;

/** A whole drawing. `label` is read to those who cannot see it. */
export function drawing(width, height, label, body) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(label)}">
  <style>${STYLE}
  </style>
  <defs>
    <pattern id="start" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <rect width="6" height="6" fill="#ffffff" fill-opacity="0.55"/><rect width="2.5" height="6" fill="#000000" fill-opacity="0.35"/>
    </pattern>
    <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
      <path class="head" d="M0 0 8 4 0 8z"/>
    </marker>
  </defs>
  <rect class="page" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${body.flat(Number.POSITIVE_INFINITY).join("\n")}
</svg>
`;
}

export function text(x, y, words, { anchor = "start", of = "" } = {}) {
  return `  <text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${of === "" ? "" : ` class="${of}"`}>${escaped(String(words))}</text>`;
}

export function line(x1, y1, x2, y2, of = "line", extra = "") {
  return `  <line class="${of}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"${extra}/>`;
}

export function rect(x, y, width, height, of, extra = "") {
  return `  <rect class="${of}" x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}"${extra}/>`;
}

/** A bar in the colour of a request, with its name where there is room. `startWidth` is hatched: the start of a piece. */
export function bar(x, y, width, height, request, startWidth = 0, label = nameOf(request)) {
  const [fill, ink] = COLOURS[request % COLOURS.length];
  const parts = [rect(x, y, width, height, "bar", ` fill="${fill}" rx="2"`)];
  if (startWidth > 0) parts.push(rect(x, y, startWidth, height, "bar", ' fill="url(#start)" rx="2"'));
  const middle = x + startWidth + (width - startWidth) / 2;
  if (width - startWidth >= 7 * label.length + 4) {
    const at = `x="${round(middle)}" y="${round(y + height / 2 + 4.5)}"`;
    parts.push(`  <text ${at} text-anchor="middle" class="strong" style="fill: ${ink}">${escaped(label)}</text>`);
  }
  return parts;
}

export function path(d, of, extra = "") {
  return `  <path class="${of}" d="${d}"${extra}/>`;
}

function round(value) {
  return Math.round(value * 10) / 10;
}

function escaped(words) {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
