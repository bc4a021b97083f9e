// What the result of a configuration depends on, as one hash: its fields, the content of every file that they name, and
// the version of this package. Equal keys have equal results, on any machine.

import { createHash } from "node:crypto";
import { createReadStream, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Fields } from "@isochron/simulator";
import { VERSION } from "../version.ts";

export class TaskKeys {
  /** Hashes of files and folders by path; undefined for what is none. Files do not change while a sweep runs. */
  readonly #contents = new Map<string, Promise<string | undefined>>();

  async keyOf(fields: Fields): Promise<string> {
    const paths = Object.keys(fields).sort();
    const parts: unknown[] = [VERSION];
    for (const path of paths) {
      const value = fields[path]!;
      parts.push([path, value, typeof value === "string" ? await this.#contentOf(value) : undefined]);
    }
    return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  }

  #contentOf(name: string): Promise<string | undefined> {
    let content = this.#contents.get(name);
    if (content === undefined) {
      content = hashOf(name);
      this.#contents.set(name, content);
    }
    return content;
  }
}

/** Of a file, or of the files of a folder by name. Undefined for a name that is neither. */
async function hashOf(path: string): Promise<string | undefined> {
  const facts = statSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return undefined;
  const files = facts.isDirectory()
    ? readdirSync(path, { withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => entry.name)
        .sort()
    : [""];
  const hash = createHash("sha256");
  for (const file of files) {
    hash.update(JSON.stringify(file));
    for await (const chunk of createReadStream(join(path, file))) hash.update(chunk as Buffer);
  }
  return hash.digest("hex");
}
