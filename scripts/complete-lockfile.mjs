// Writes into package-lock.json the optional platform packages that npm left out because the registry in use does not
// carry them (mirrors often hold only their own platform). Without them `npm ci` refuses the lockfile, and machines of
// other platforms would miss a binary. Run it after `npm install` behind such a registry; elsewhere it changes nothing.
//
//   node scripts/complete-lockfile.mjs

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const OS_NAMES = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const CPU_NAMES = {
  arm: ["arm"],
  arm64: ["arm64"],
  armhf: ["arm"],
  ia32: ["ia32"],
  loong64: ["loong64"],
  mips64el: ["mips64el"],
  ppc64: ["ppc64"],
  riscv64: ["riscv64"],
  s390x: ["s390x"],
  wasm32: ["wasm32"],
  x64: ["x64"],
};

const path = fileURLToPath(new URL("../package-lock.json", import.meta.url));
const lock = JSON.parse(readFileSync(path, "utf8"));
const packages = lock.packages;
let added = 0;

for (const [parent, entry] of Object.entries({ ...packages })) {
  if (!parent.startsWith("node_modules/")) continue;
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (isResolved(parent, name)) continue;
    packages[`node_modules/${name}`] = platformEntry(name, version, entry);
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} platform packages added to package-lock.json`);

/** Whether `name` is found from the folder of `parent` upwards, as Node would look for it. */
function isResolved(parent, name) {
  for (let folder = parent; ; folder = folder.slice(0, folder.lastIndexOf("/node_modules/"))) {
    if (packages[`${folder}/node_modules/${name}`] !== undefined) return true;
    if (!folder.includes("/node_modules/")) return packages[`node_modules/${name}`] !== undefined;
  }
}

/** What npm would have written, as far as the name tells it; npm checks the rest when it installs the package. */
function platformEntry(name, version, parent) {
  if (!/^\d/.test(version)) throw new Error(`${name}: expected an exact version, found ${version}`);
  const words = name.split(/[/-]/);
  const os = words.filter((word) => OS_NAMES.includes(word));
  const cpu = words.flatMap((word) => CPU_NAMES[word] ?? []);
  const libc = words.some((word) => word.startsWith("musl"))
    ? ["musl"]
    : words.some((word) => word.startsWith("gnu"))
      ? ["glibc"]
      : undefined;
  return {
    version,
    ...(cpu.length > 0 ? { cpu } : {}),
    ...(parent.dev ? { dev: true } : {}),
    ...(os.includes("linux") && libc !== undefined ? { libc } : {}),
    optional: true,
    ...(os.length > 0 ? { os } : {}),
  };
}
