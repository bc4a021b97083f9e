// The built page, for tests: built once where it is missing (the test command builds it before).

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("../../packages/viz/", import.meta.url));

export function buildViewer(): void {
  if (existsSync(`${PACKAGE}dist/viewer.html`)) return;
  execFileSync("npx", ["vite", "build"], { cwd: PACKAGE, stdio: "inherit" });
}
