// Reads plans from standard input, each behind its length in bytes (little-endian, 4 bytes), and writes a line of numbers for
// each worker: starters, pieces, the job of the last, slot, place and job of each state whose rows are waited for; then for each of its units
// the fields that the test asks for.
#include <cstdio>
#include <cstring>

#include "plan_image.h"

using namespace isochron;

int main() {
  uint32_t bytes = 0;
  while (std::fread(&bytes, 4, 1, stdin) == 1) {
    std::vector<int32_t> words(bytes / 4);
    if (std::fread(words.data(), 1, bytes, stdin) != bytes) return 1;
    const PlanView plan{words.data()};
    const ImageLayout at = imageLayout(words.data());
    std::vector<uint8_t> image(at.total);
    ImageScratch scratch;
    const ImageUse use = buildImage(plan, at, true, 0, scratch, image.data());
    const auto* table = reinterpret_cast<const WorkerRecord*>(image.data() + at.workers);
    const auto* units = reinterpret_cast<const UnitRecord*>(image.data() + at.units);
    const auto* pieces = reinterpret_cast<const PieceRecord*>(image.data() + at.pieces);
    const auto* sources = reinterpret_cast<const SourceRecord*>(image.data() + at.sources);
    for (int w = 0; w < words[header::workers]; w++) {
      const WorkerRecord& worker = table[w];
      const int lastJob = worker.start < worker.end ? pieces[worker.end - 1].job : -1;
      std::printf("%d %d %d", worker.starters, worker.end - worker.start, lastJob);
      if (worker.start < worker.end && std::memcmp(&worker.first, &pieces[worker.start], sizeof(PieceRecord)) != 0) return 2;
      for (int i = worker.start; i < worker.end; i++) {
        const PieceRecord& piece = pieces[i];
        for (int s = 0; piece.isAwaited() && s < statesOf(plan, piece); s++) {
          std::printf(" %d %d %d", piece.slot + s, piece.awaitedPlace() + s, jobOf(piece));
        }
      }
      for (int u = worker.unitStart; u < worker.unitEnd; u++) {
        const bool isInRange = int64_t(at.units + u * sizeof(UnitRecord)) >= use.start;
        if (u >= worker.awaitedStart) {
          const AwaitedUnit& unit = units[u].awaited;
          std::printf(";-1 %d %d %d %d %d %d %d %d %d %u", unit.merge, isInRange, unit.place, unit.sources, unit.loads, unit.lanesLog2,
                      unit.rowStart, unit.firstPart, unit.parts, unit.leaves);
          continue;
        }
        const MergeUnit& unit = units[u].counted;
        const bool isCopied = isInRange && (unit.list < 0 || use.listBytes > 0);
        std::printf(";%d %d %d %d %d %d %d %d %u", unit.merge, unit.arrivals, unit.units, unit.rowOffset, unit.rowCount, unit.slice,
                    unit.sources, isCopied, unit.leaves);
        for (int s = 0; s < unit.sources; s++) {
          // As merge_units.cuh: the partial row of source s, row 0 of the merge.
          const int row = unit.list < 0 ? (s < unit.firstRun ? unit.firstRow : unit.secondRow) + s * words[header::slotRows]
                                        : sources[unit.list + s].slot * words[header::slotRows] + (sources[unit.list + s].slotRow & 0xffff);
          std::printf(" %d", row);
        }
        // Canonical trees: nodes that each source merges with before the next one comes.
        for (int s = 0; s < unit.sources; s++) {
          std::printf(" %d", unit.list < 0 ? 0 : sources[unit.list + s].slotRow >> 16);
        }
      }
      std::printf("\n");
    }
  }
}
