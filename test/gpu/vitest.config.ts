import { defineConfig } from "vitest/config";

const conditions = ["@isochron/source"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: { include: ["test/gpu/**/*.test.ts"], pool: "forks" },
});
