import { describe, expect, it } from "vitest";
import { isochron } from "../support/command.ts";

describe("the frame of all commands", () => {
  it("shows an example before anything else in every help", async () => {
    const overview = await isochron(["--help"]);
    expect(overview.exitCode).toBe(0);
    expect(overview.stdout).toMatch(/^ {2}\$ isochron /);
    const names = [...overview.stdout.matchAll(/^ {2}([a-z]+) .* {2,}\S/gm)].map((match) => match[1]!);
    expect(names).toContain("models");
    for (const name of names.filter((one) => one !== "help")) {
      const help = await isochron([name, "--help"]);
      expect(help.exitCode, name).toBe(0);
      expect(help.stdout, name).toMatch(new RegExp(`^ {2}\\$ isochron ${name}`));
      expect(help.stderr, name).toBe("");
    }
  });

  it("prints its help and exits 2 when no command is named", async () => {
    const { exitCode, stdout, stderr } = await isochron([]);
    expect(exitCode).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain("Commands:");
  });

  it("prints its version", async () => {
    const { exitCode, stdout } = await isochron(["--version"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("shows a stack trace only with --debug", async () => {
    const plain = await isochron(["plan", "nowhere.json"]);
    expect(plain.stderr).not.toMatch(/^\s+at /m);
    const debug = await isochron(["plan", "nowhere.json", "--debug"]);
    expect(debug.stderr).toMatch(/^\s+at /m);
    expect(debug.exitCode).toBe(2);
  });

  it("colours only where asked, and never with NO_COLOR", async () => {
    const sequence = "\u001b[";
    expect((await isochron(["models"])).stdout).not.toContain(sequence);
    expect((await isochron(["models"], { env: { FORCE_COLOR: "1" } })).stdout).toContain(sequence);
    expect((await isochron(["models"], { env: { FORCE_COLOR: "1", NO_COLOR: "1" } })).stdout).not.toContain(sequence);
    expect((await isochron(["models", "--json"], { env: { FORCE_COLOR: "1" } })).stdout).not.toContain(sequence);
  });
});
