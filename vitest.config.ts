import { defineConfig } from "vitest/config";

// Tests run against sources: the custom export condition maps every package to its src/index.ts.
const conditions = ["@isochron/source"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    setupFiles: ["test/support/fast-check.ts"],
    include: ["test/**/*.test.ts"],
    exclude: ["test/gpu/**"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
  },
});
