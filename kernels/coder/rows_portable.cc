// Any processor.
#include "coder/rows_scalar.h"

namespace narrows {
namespace {

void entries_of_symbols(const int16_t* symbols, size_t count, const Channel& channel,
                        uint16_t* entries, std::vector<Escaped>& escaped, size_t first) {
  entries_of_symbols_scalar(symbols, 0, count, channel, entries, escaped, first);
}

void entries_of_latent(const float* latent, size_t count, Quantiser quantiser,
                       const Channel& channel, uint16_t* entries, std::vector<Escaped>& escaped,
                       size_t first) {
  entries_of_latent_scalar(latent, 0, count, quantiser, channel, entries, escaped, first);
}

void symbols_of_entries(const uint16_t* entries, size_t count, const Channel& channel,
                        int16_t* symbols, std::vector<size_t>& escapes, size_t first) {
  symbols_of_entries_scalar(entries, 0, count, channel, symbols, escapes, first);
}

void latent_of_entries(const uint16_t* entries, size_t count, Dequantiser dequantiser,
                       const Channel& channel, float* latent, std::vector<size_t>& escapes,
                       size_t first) {
  latent_of_entries_scalar(entries, 0, count, dequantiser, channel, latent, escapes, first);
}

}  // namespace

const RowKernels kPortableRows = {entries_of_symbols, entries_of_latent,  encode_scalar,
                                  decode_scalar,      symbols_of_entries, latent_of_entries};

}  // namespace narrows
