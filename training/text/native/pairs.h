// The instances of a part: the twin of pairing.py, with the same draws in the same order.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "random.h"

constexpr int ARTICLE_DRAWS = 10;

struct Range {
    int64_t start, stop;
    int64_t size() const { return stop - start; }
};

struct Articles {
    const int32_t* tokens;
    const int64_t* sentences;  // [S + 1], into tokens
    const int64_t* articles;   // [count + 1], into sentences
    int64_t count;

    Range tokens_of(int64_t first, int64_t end) const { return {sentences[first], sentences[end]}; }
    // The sentence before which the chunk has `target` tokens, or the article ends.
    int64_t chunk_end(int64_t start, int64_t end, int64_t target) const {
        int64_t stop = start + 1;
        while (stop < end && tokens_of(start, stop).size() < target) ++stop;
        return stop;
    }
};

struct Recipe {  // in the order of native/library.py
    int64_t max_tokens, max_predictions, dupe_factor, vocabulary_size;
    double short_probability, masked_probability;
    int32_t cls, sep, mask;
};

struct Pair {
    Range first, second;  // of tokens
    bool is_random_next;
};

// What is made, whatever the width of ids.
struct Made {
    virtual ~Made() = default;
    virtual void counts(int64_t* to) const = 0;
    virtual void collect(void* tokens, int64_t* offsets, int32_t* first_lengths, uint16_t* positions, void* labels,
                         int64_t* masked_offsets, uint8_t* is_random_next) const = 0;
};

template <typename Id> class Maker final : public Made {
public:
    Maker(const Articles& articles, const Recipe& recipe, Random& random)
        : articles_(articles), recipe_(recipe), random_(random), order_(articles.count) {
        std::iota(order_.begin(), order_.end(), int64_t(0));
        random_.shuffle(order_.data(), articles.count);
        for (int64_t pass = 0; pass < recipe.dupe_factor; ++pass)
            for (int64_t number = 0; number < articles.count; ++number) pairs(number);
        final_order_.resize(first_lengths_.size());
        std::iota(final_order_.begin(), final_order_.end(), int64_t(0));
        random_.shuffle(final_order_.data(), int64_t(final_order_.size()));
    }

    void counts(int64_t* to) const override {
        to[0] = int64_t(first_lengths_.size()), to[1] = int64_t(tokens_.size()), to[2] = int64_t(labels_.size());
    }

    void collect(void* tokens, int64_t* offsets, int32_t* first_lengths, uint16_t* positions, void* labels,
                 int64_t* masked_offsets, uint8_t* is_random_next) const override {
        offsets[0] = masked_offsets[0] = 0;
        for (size_t to = 0; to < final_order_.size(); ++to) {
            const size_t from = size_t(final_order_[to]);
            offsets[to + 1] = offsets[to] + copy(tokens_, offsets_, from, static_cast<Id*>(tokens) + offsets[to]);
            copy(positions_, masked_offsets_, from, positions + masked_offsets[to]);
            masked_offsets[to + 1] = masked_offsets[to] + copy(labels_, masked_offsets_, from,
                                                               static_cast<Id*>(labels) + masked_offsets[to]);
            first_lengths[to] = first_lengths_[from];
            is_random_next[to] = is_random_next_[from];
        }
    }

private:
    const Articles& articles_;
    const Recipe& recipe_;
    Random& random_;
    std::vector<int64_t> order_, final_order_;
    std::vector<Id> tokens_, labels_;
    std::vector<int64_t> offsets_{0}, masked_offsets_{0};
    std::vector<int32_t> first_lengths_;
    std::vector<uint16_t> positions_, candidates_;
    std::vector<uint8_t> is_random_next_;

    template <typename Item>
    static int64_t copy(const std::vector<Item>& all, const std::vector<int64_t>& offsets, size_t row, Item* to) {
        const int64_t count = offsets[row + 1] - offsets[row];
        std::copy_n(all.data() + offsets[row], count, to);
        return count;
    }

    Range article(int64_t number) const {
        return {articles_.articles[order_[number]], articles_.articles[order_[number] + 1]};
    }

    void pairs(int64_t number) {
        const bool is_short = random_.uniform() < recipe_.short_probability;
        const int64_t target = is_short ? random_.between(2, recipe_.max_tokens) : recipe_.max_tokens;
        auto [start, end] = article(number);
        while (start < end) {
            const int64_t stop = articles_.chunk_end(start, end, target);
            const int64_t split = start + (stop - start > 1 ? random_.between(1, stop - start - 1) : 1);
            const Range first = articles_.tokens_of(start, split);
            if (stop - start == 1 || random_.uniform() < 0.5) {
                add({first, random_next(number, target - first.size()), true});
                start = split;  // the rest of the chunk is not used up
            } else {
                add({first, articles_.tokens_of(split, stop), false});
                start = stop;
            }
        }
    }

    Range random_next(int64_t number, int64_t target) {
        int64_t other = number;
        for (int draw = 0; draw < ARTICLE_DRAWS && other == number; ++draw)
            other = random_.between(0, articles_.count - 1);
        auto [start, end] = article(other);
        start += random_.between(0, end - start - 1);
        return articles_.tokens_of(start, articles_.chunk_end(start, end, target));
    }

    void add(Pair pair) {
        truncate(pair);
        const size_t start = tokens_.size();
        const int64_t middle = pair.first.size() + 1, length = middle + pair.second.size() + 2;
        tokens_.push_back(Id(recipe_.cls));
        append(pair.first);
        append(pair.second);
        mask(tokens_.data() + start, middle, length);
        offsets_.push_back(int64_t(tokens_.size()));
        first_lengths_.push_back(int32_t(middle + 1));
        is_random_next_.push_back(pair.is_random_next);
    }

    void append(Range range) {
        tokens_.insert(tokens_.end(), articles_.tokens + range.start, articles_.tokens + range.stop);
        tokens_.push_back(Id(recipe_.sep));
    }

    void truncate(Pair& pair) {
        while (pair.first.size() + pair.second.size() > recipe_.max_tokens) {
            Range& longer = pair.first.size() > pair.second.size() ? pair.first : pair.second;
            if (random_.uniform() < 0.5)
                ++longer.start;
            else
                --longer.stop;
        }
    }

    void mask(Id* tokens, int64_t middle, int64_t length) {
        candidates_.clear();
        for (int64_t i = 1; i < length - 1; ++i)
            if (i != middle) candidates_.push_back(uint16_t(i));
        random_.shuffle(candidates_.data(), int64_t(candidates_.size()));
        // rint: halves to even, as Python's round
        const int64_t rounded = std::max<int64_t>(1, int64_t(std::rint(double(length) * recipe_.masked_probability)));
        const int64_t count = std::min({recipe_.max_predictions, rounded, int64_t(candidates_.size())});
        const size_t start = positions_.size();
        positions_.insert(positions_.end(), candidates_.begin(), candidates_.begin() + count);
        std::sort(positions_.begin() + start, positions_.end());
        for (size_t i = start; i < positions_.size(); ++i) labels_.push_back(tokens[positions_[i]]);
        for (int64_t i = 0; i < count; ++i) replace(tokens[candidates_[i]]);
        masked_offsets_.push_back(int64_t(labels_.size()));
    }

    void replace(Id& token) {
        if (random_.uniform() < 0.8)
            token = Id(recipe_.mask);
        else if (random_.uniform() >= 0.5)
            token = Id(random_.between(0, recipe_.vocabulary_size - 1));
    }
};
