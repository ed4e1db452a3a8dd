// The library's functions: plain C, for ctypes. Those that take memory return false or null if there is none.
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>

#include "pairs.h"
#include "words.h"

namespace {
template <typename Work> bool done(Work work) {
    try {
        work();
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    } catch (const std::length_error&) {
        return false;
    }
}
}  // namespace

extern "C" {

// The sources that it was made of, by setup.py; foundation/native_library.py checks them.
const char* built_from() { return BUILT_FROM; }

// state: the 624 words of a Mersenne Twister and the position in them; where it stands after the last draw.
Made* text_make(uint32_t* state, const int32_t* tokens, const int64_t* sentences, const int64_t* bounds, int64_t count,
                const Recipe* recipe) {
    std::unique_ptr<Made> made;
    Random random(state);
    const Articles articles{tokens, sentences, bounds, count};
    done([&] {
        if (recipe->vocabulary_size <= 1 << 16) made = std::make_unique<Maker<uint16_t>>(articles, *recipe, random);
        else made = std::make_unique<Maker<int32_t>>(articles, *recipe, random);
    });
    random.store(state);
    return made.release();
}

void text_made_counts(const Made* made, int64_t* counts) { made->counts(counts); }

void text_made_collect(const Made* made, void* tokens, int64_t* offsets, int32_t* first_lengths, uint16_t* positions,
                       void* labels, int64_t* masked_offsets, uint8_t* is_random_next) {
    made->collect(tokens, offsets, first_lengths, positions, labels, masked_offsets, is_random_next);
}

void text_made_free(Made* made) { delete made; }

Words* text_words(const char* tokens, const int64_t* ends, int64_t count, const Rules* rules) {
    std::unique_ptr<Words> words;
    done([&] { words = std::make_unique<Words>(tokens, ends, count, *rules); });
    return words.release();
}

// -1: no memory
int64_t text_words_scan(Words* words, const char* text, int64_t length) {
    int64_t pending = -1;
    done([&] { pending = words->scan(text, length); });
    return pending;
}

void text_words_pending(const Words* words, int64_t* bounds) { words->pending(bounds); }

bool text_words_define(Words* words, const int32_t* pieces, const int64_t* ends, int64_t* counts) {
    return done([&] {
        words->define(pieces, ends);
        words->expand(counts);
    });
}

void text_words_collect(const Words* words, int32_t* tokens, int64_t* sentences, int64_t* articles) {
    words->collect(tokens, sentences, articles);
}

void text_words_free(Words* words) { delete words; }
}
