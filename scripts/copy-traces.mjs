// Copies the bundled traces, with their licences and notices, into packages/cli, so that an installed `isochron` has
// them. Run by npm before it packs the package.
//
//   node scripts/copy-traces.mjs

import { cpSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = join(root, "packages/cli/traces");
rmSync(target, { recursive: true, force: true });
cpSync(join(root, "traces"), target, { recursive: true });
