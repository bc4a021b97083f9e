// Writes into README.md what its example prints, and the outputs of commands between markers that name the command, so
// that the page says what the code does. `--check` changes nothing and fails where they differ. Needs the build.
//
//   node scripts/update-readme.mjs [--check]

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const path = join(root, "README.md");

/** Columns of `plan --compare` that are the same on every machine, under the names of the README. */
const COLUMNS = {
  policy: (row) => `\`${row.policy}\``,
  pieces: (row) => row.stats.pieces.toLocaleString("en-US"),
  "partial states": (row) => row.stats.partialSlots.toLocaleString("en-US"),
  "workspace KiB": (row) => Math.round(row.workspaceBytes / 1024).toLocaleString("en-US"),
  "makespan / lower bound": (row) => row.stats.imbalance.toFixed(2),
  "simulated µs": (row) => row.simulatedUs.toLocaleString("en-US", { maximumFractionDigits: 0 }),
};

const before = readFileSync(path, "utf8");
const example = /^```js\n([\s\S]*?)^```/m.exec(before)[1];
const after = before
  .replace(/^```text\n[\s\S]*?^```/m, () => `\`\`\`text\n${outputOf(example)}\`\`\``)
  .replace(
    /<!-- isochron (?<args>[^>]*?) -->\n[\s\S]*?<!-- end -->/g,
    (_, args) => `<!-- isochron ${args} -->\n${compareTable(args.split(" "))}\n<!-- end -->`,
  );
if (process.argv.includes("--check")) {
  if (after !== before) {
    console.error("README.md differs from what the commands print: run `node scripts/update-readme.mjs`");
    process.exitCode = 1;
  }
} else {
  writeFileSync(path, after);
}

/** Runs a module inside a package that has the others, so that their names resolve as they do for a user. */
function outputOf(module) {
  const file = join(root, `packages/cli/.readme-${process.pid}.mjs`);
  try {
    writeFileSync(file, module);
    return execFileSync(process.execPath, [file], { encoding: "utf8" });
  } finally {
    rmSync(file, { force: true });
  }
}

/** A Markdown table of one `plan --compare`, nearest to the bound first. */
function compareTable(args) {
  const command = join(root, "packages/cli/bin/isochron.js");
  const output = execFileSync(process.execPath, [command, ...args, "--json"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const rows = JSON.parse(output).policies.sort(
    (a, b) => a.stats.imbalance - b.stats.imbalance || (a.policy < b.policy ? -1 : 1),
  );
  const names = Object.keys(COLUMNS);
  const lines = [names, names.map((_, i) => (i === 0 ? "---" : "---:"))];
  for (const row of rows) lines.push(names.map((name) => COLUMNS[name](row)));
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
