// Runs a TypeScript file of this repository from its sources: node tools/run.mjs FILE [arguments].
// (Node 20 does not read TypeScript by itself; Vite, which is here to build the page, does.)

import { resolve } from "node:path";
import { runnerImport } from "vite";

const [file, ...rest] = process.argv.slice(2);
process.argv.splice(1, process.argv.length - 1, resolve(file), ...rest);
const conditions = ["@isochron/source"];
await runnerImport(resolve(file), {
  configFile: false,
  logLevel: "error",
  resolve: { conditions },
  ssr: { resolve: { conditions } },
});
