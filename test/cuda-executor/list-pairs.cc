// Prints the order of the workers of plans as the executor puts them: reads plans from stdin, each behind its length in bytes (uint32),
// and prints the plan's worker of each row of the table. Argument: pairs of workers that share a CTA, rows c and c + pairs.
#include <cstdio>
#include <cstdlib>

#include "plan_image.h"

using namespace isochron;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  uint32_t bytes = 0;
  while (std::fread(&bytes, 4, 1, stdin) == 1) {
    std::vector<int32_t> words(bytes / 4);
    if (std::fread(words.data(), 1, bytes, stdin) != bytes) return 1;
    const ImageLayout at = imageLayout(words.data());
    std::vector<uint8_t> image(at.total);
    ImageScratch scratch;
    buildImage(PlanView{words.data()}, at, false, std::atoi(argv[1]), scratch, image.data());
    const auto* table = reinterpret_cast<const WorkerRecord*>(image.data() + at.workers);
    for (int w = 0; w < words[header::workers]; w++) std::printf("%d\n", table[w].worker);
  }
  return 0;
}
