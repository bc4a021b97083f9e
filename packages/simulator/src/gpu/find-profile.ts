// Finds a GPU profile by its bundled name or by the path of a file.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { GpuProfile } from "./profile.ts";
import { gpuProfileSchema } from "./profile.ts";

/** Same relative path from src/gpu and from dist/gpu. */
const BUNDLED: URL = new URL("../../profiles/", import.meta.url);
/** Those that were asked for, by name. Checking one takes 2 ms, a twentieth of a replay in a sweep. */
const bundledProfiles = new Map<string, GpuProfile>();

/** Neither a bundled profile nor a file has this name. */
export class UnknownProfileError extends Error {
  override readonly name = "UnknownProfileError";
  readonly profile: string;
  readonly known: readonly string[];

  constructor(profile: string, known: readonly string[]) {
    super(
      `no GPU profile is called ${JSON.stringify(profile)}: expected one of ${known.join(", ")}, or the path of a profile file (.json)`,
    );
    this.profile = profile;
    this.known = known;
  }
}

/** A profile file that cannot be used: which file, which field, and what was expected there. */
export class InvalidProfileError extends Error {
  override readonly name = "InvalidProfileError";
  readonly file: string;
  /** Dotted path of the first bad field; empty when the file is no JSON object. */
  readonly field: string;
  readonly problem: string;

  constructor(file: string, field: string, problem: string) {
    super(`${file}: ${field === "" ? "" : `${field}: `}${problem}`);
    this.file = file;
    this.field = field;
    this.problem = problem;
  }
}

/**
 * Programs in JavaScript leave things out, or give a profile's name.
 * @throws InvalidProfileError unless `profile` has the parts of a GPU profile
 */
export function requireProfile(profile: { readonly memory?: unknown; readonly tensor?: unknown }): void {
  if (typeof profile?.memory === "object" && typeof profile.tensor === "object") return;
  const found = typeof profile === "object" && profile !== null ? "another object" : JSON.stringify(profile);
  throw new InvalidProfileError("the GPU profile", "", `found ${found}, expected what findProfile() returns`);
}

/** Names of the bundled profiles, sorted. */
export function listProfiles(): string[] {
  return readdirSync(BUNDLED)
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();
}

/**
 * The profile of this bundled name, or in this file. A name with a dot or a slash is a path. Bundled ones are read once: everybody
 * gets the same object.
 * @throws UnknownProfileError, InvalidProfileError, or the system error of an unreadable file
 */
export function findProfile(nameOrPath: string): GpuProfile {
  if (/[./\\]/.test(nameOrPath)) return readProfile(nameOrPath);
  let profile = bundledProfiles.get(nameOrPath);
  if (profile === undefined) {
    const known = listProfiles();
    if (!known.includes(nameOrPath)) throw new UnknownProfileError(nameOrPath, known);
    profile = readProfile(fileURLToPath(new URL(`${nameOrPath}.json`, BUNDLED)));
    bundledProfiles.set(nameOrPath, profile);
  }
  return profile;
}

function readProfile(path: string): GpuProfile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new UnknownProfileError(path, listProfiles());
    throw error;
  }
  return parseProfile(text, path);
}

/** A profile from the text of a file. `file` is used in errors only. */
export function parseProfile(text: string, file: string): GpuProfile {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new InvalidProfileError(file, "", `not JSON (${(error as Error).message})`);
  }
  const parsed = gpuProfileSchema.safeParse(document);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new InvalidProfileError(file, issue.path.map(String).join("."), issue.message);
}
