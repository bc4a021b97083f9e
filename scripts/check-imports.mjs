// Holds the house's rules on imports. Fails, naming file and line, on
//   · a circle of imports, inside a package or between packages (type imports count);
//   · an import that the table below does not allow;
//   · a path into another package's folder (a package is entered through what its `exports` name);
//   · a `node:` builtin where the code must also run in browsers.
//
//   node scripts/check-imports.mjs [root of the workspace]

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "oxc-parser";

/** Which package may import which: "values" (and types), or "types" only. Absent: not at all. */
const ALLOWED = {
  planner: {},
  simulator: { planner: "values" },
  "cuda-executor": { planner: "values" },
  viz: { planner: "types", simulator: "types" },
  cli: { planner: "values", simulator: "values", "cuda-executor": "values", viz: "values" },
};
/** Packages whose sources stand alone: no npm package and no builtin of Node. */
const STANDS_ALONE = new Set(["planner"]);

/** Only what ships (sources, and the web page) obeys the table; benches and scripts of a package obey the other rules. */
const SHIPPED_FOLDERS = new Set(["src", "app"]);
const SKIPPED_FOLDERS = new Set(["node_modules", "dist", "build", "coverage"]);
const SOURCE_FILE = /\.(?:ts|mts|tsx|js|mjs)$/;
const DECLARATION_FILE = /\.d\.[cm]?ts$/;

/** All broken rules below `root`, as sentences that start with file and line. */
function checkImports(root) {
  const violations = [];
  const packages = readPackages(root);
  const fileGraph = new Map();
  const packageGraph = new Map(packages.map((one) => [one.folder, new Set()]));
  const folderOf = new Map(packages.map((one) => [one.name, one.folder]));

  for (const { folder, path } of packages) {
    for (const file of sourceFiles(path)) {
      const name = relative(root, file);
      const isShipped = SHIPPED_FOLDERS.has(relative(path, file).split(sep)[0]);
      const targets = new Set();
      fileGraph.set(name, targets);
      for (const { specifier, isType, line } of readImports(file, name, violations)) {
        const at = `${name}:${line}`;
        if (specifier.startsWith(".")) {
          const target = resolveRelative(file, specifier);
          if (target.startsWith(path + sep)) targets.add(relative(root, target));
          else violations.push(`${at}: "${specifier}" leaves the package; import what a package exports, by its name`);
          continue;
        }
        const packageName = specifier.match(/^(?:@[^/]+\/)?[^/]+/)?.[0] ?? specifier;
        const target = folderOf.get(packageName);
        if (target === undefined) {
          if (isShipped && STANDS_ALONE.has(folder)) {
            violations.push(
              isBuiltin(specifier)
                ? `${at}: "${specifier}" is a builtin of Node; ${folder} must also run in browsers`
                : `${at}: "${specifier}" is a dependency; ${folder} has none`,
            );
          }
          continue;
        }
        if (/^(?:src|dist)(?:\/|$)/.test(specifier.slice(packageName.length + 1))) {
          violations.push(`${at}: "${specifier}" reaches into another package; import "${packageName}"`);
        }
        if (!isShipped) continue;
        if (target !== folder) packageGraph.get(folder).add(target);
        const allowed = ALLOWED[folder]?.[target];
        if (allowed === undefined) {
          violations.push(`${at}: ${folder} may not import ${target}`);
        } else if (allowed === "types" && !isType) {
          violations.push(`${at}: ${folder} may import only types of ${target}`);
        }
      }
    }
  }
  for (const circle of circles(fileGraph)) violations.push(`${circle[0]}: imports in a circle: ${circle.join(" → ")}`);
  for (const circle of circles(packageGraph)) violations.push(`packages import in a circle: ${circle.join(" → ")}`);
  return violations;
}

/** Every workspace: its folder under packages/, its npm name and its path. */
function readPackages(root) {
  const packagesPath = join(root, "packages");
  return readdirSync(packagesPath)
    .filter((folder) => existsSync(join(packagesPath, folder, "package.json")))
    .map((folder) => {
      const path = join(packagesPath, folder);
      return { folder, path, name: JSON.parse(readFileSync(join(path, "package.json"), "utf8")).name };
    });
}

function* sourceFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !SKIPPED_FOLDERS.has(entry.name)) yield* sourceFiles(path);
    else if (entry.isFile() && SOURCE_FILE.test(entry.name) && !DECLARATION_FILE.test(entry.name)) yield path;
  }
}

/** Static, dynamic and type imports, and re-exports, of one file. */
function readImports(file, name, violations) {
  const source = readFileSync(file, "utf8");
  const { module, program, errors } = parseSync(file, source);
  for (const error of errors) violations.push(`${name}: does not parse: ${error.message}`);
  const found = [];
  const add = (specifier, start, isType) => {
    found.push({ specifier, isType, line: source.slice(0, start).split("\n").length });
  };
  for (const one of module.staticImports) {
    // `import "x"` has no entries and runs x.
    add(one.moduleRequest.value, one.start, one.entries.length > 0 && one.entries.every((entry) => entry.isType));
  }
  for (const one of module.staticExports) {
    const requests = one.entries.filter((entry) => entry.moduleRequest !== null && entry.moduleRequest !== undefined);
    if (requests.length > 0) {
      add(
        requests[0].moduleRequest.value,
        one.start,
        requests.every((entry) => entry.isType),
      );
    }
  }
  for (const one of module.dynamicImports) {
    const text = source.slice(one.moduleRequest.start, one.moduleRequest.end);
    const literal = /^["'`]([^"'`$]+)["'`]$/.exec(text);
    if (literal !== null) add(literal[1], one.start, false);
  }
  if (/\bimport\s*\(/.test(source)) addTypeQueries(program, add);
  return found;
}

/** `import("x").T` in a type. */
function addTypeQueries(node, add) {
  if (Array.isArray(node)) {
    for (const child of node) addTypeQueries(child, add);
  } else if (node !== null && typeof node === "object") {
    if (node.type === "TSImportType") add(node.source.value, node.start, true);
    for (const key in node) if (typeof node[key] === "object") addTypeQueries(node[key], add);
  }
}

/** The source behind a relative specifier, which may be written with the extension of its output or none. */
function resolveRelative(file, specifier) {
  const path = resolve(dirname(file), specifier.replace(/[?#].*$/, ""));
  const candidates = [path, path.replace(/\.js$/, ".ts"), `${path}.ts`, join(path, "index.ts")];
  return candidates.find((candidate) => existsSync(candidate) && statSync(candidate).isFile()) ?? path;
}

/** One circle for each back edge of a depth-first walk: empty exactly when the graph has no circle. */
function circles(graph) {
  const found = [];
  const state = new Map();
  const path = [];
  const visit = (node) => {
    state.set(node, "open");
    path.push(node);
    for (const next of graph.get(node) ?? []) {
      if (state.get(next) === "open") found.push([...path.slice(path.indexOf(next)), next]);
      else if (!state.has(next)) visit(next);
    }
    path.pop();
    state.set(node, "done");
  };
  for (const node of graph.keys()) if (!state.has(node)) visit(node);
  return found;
}

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), ".."));
const violations = checkImports(root);
for (const violation of violations) console.error(violation);
if (violations.length > 0) {
  console.error(`${violations.length} import${violations.length === 1 ? "" : "s"} against the rules of the house`);
  process.exitCode = 1;
}
