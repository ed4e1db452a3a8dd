// A text as token ids. Words are split at ASCII blanks and around Chinese characters; each distinct one is cut into
// pieces once. Here that is done for words of ASCII alone; the others are handed to the caller, who knows Unicode.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

struct Rules {  // in the order of native/library.py
    int32_t unknown, lowercase, split_chinese;
    int64_t most_chars;
};

class Words {
public:
    Words(const char* tokens, const int64_t* ends, int64_t count, const Rules& rules) : rules_(rules) {
        vocabulary_.assign(tokens, size_t(count ? ends[count - 1] : 0));
        int64_t start = 0;
        for (int64_t id = 0; id < count; start = ends[id++]) {
            const std::string_view token = std::string_view(vocabulary_).substr(size_t(start), size_t(ends[id] - start));
            whole_.emplace(token, int32_t(id));
            if (token.substr(0, 2) == "##") continued_.emplace(token.substr(2), int32_t(id));
            longest_ = std::max(longest_, token.size());
        }
        forget();
    }

    // Read a text; returns how many words the caller must define before `expand`.
    int64_t scan(const char* text, int64_t length) {
        if (entries_.size() > MOST_WORDS) forget();
        text_ = text;
        stream_.clear(), pending_.clear();
        for (const char *line = text, *end = text + length; line < end;) {
            const char* stop = static_cast<const char*>(std::memchr(line, '\n', size_t(end - line)));
            if (!stop) stop = end;
            if (is_blank(line, stop)) stream_.push_back(BLANK_LINE);
            else split(line, stop);
            line = stop + 1;
        }
        return int64_t(pending_.size());
    }

    // Start and stop of each pending word in the text that was scanned, [2 * number].
    void pending(int64_t* bounds) const {
        for (size_t i = 0; i < pending_.size(); ++i) bounds[2 * i] = pending_[i].start, bounds[2 * i + 1] = pending_[i].stop;
    }

    void define(const int32_t* pieces, const int64_t* ends) {
        for (size_t i = 0; i < pending_.size(); ++i) {
            const int64_t start = i ? ends[i - 1] : 0;
            Entry& entry = entries_[pending_[i].entry];
            entry.pieces_start = pieces_.size();
            entry.pieces_count = uint32_t(ends[i] - start);
            pieces_.insert(pieces_.end(), pieces + start, pieces + ends[i]);
        }
    }

    // Tokens, sentences and articles of the text that was scanned.
    void expand(int64_t* counts) {
        tokens_.clear(), sentences_.assign(1, 0), articles_.assign(1, 0);
        for (const uint32_t code : stream_) {
            if (code == LINE_END) end_sentence();
            else if (code == BLANK_LINE) end_article();
            else {
                const Entry& entry = entries_[code - FIRST_WORD];
                const int32_t* pieces = pieces_.data() + entry.pieces_start;
                tokens_.insert(tokens_.end(), pieces, pieces + entry.pieces_count);
            }
        }
        end_article();
        counts[0] = int64_t(tokens_.size()), counts[1] = int64_t(sentences_.size()), counts[2] = int64_t(articles_.size());
    }

    void collect(int32_t* tokens, int64_t* sentences, int64_t* articles) const {
        std::copy(tokens_.begin(), tokens_.end(), tokens);
        std::copy(sentences_.begin(), sentences_.end(), sentences);
        std::copy(articles_.begin(), articles_.end(), articles);
    }

private:
    enum : uint32_t { LINE_END, BLANK_LINE, FIRST_WORD };
    static constexpr size_t MOST_WORDS = 1 << 21, FIRST_SLOTS = 1 << 16;
    struct Entry {
        uint64_t hash;
        size_t text_start, pieces_start;
        uint32_t text_length, pieces_count;
    };
    struct Pending {
        size_t entry;
        int64_t start, stop;
    };

    Rules rules_;
    std::string vocabulary_, known_;  // known_: the words of entries_, one after the other
    std::unordered_map<std::string_view, int32_t> whole_, continued_;
    size_t longest_ = 0;
    std::vector<Entry> entries_;
    std::vector<uint32_t> slots_;  // of a hash table: 0, or the number of an entry + 1
    std::vector<int32_t> pieces_;
    std::vector<uint32_t> stream_;
    std::vector<Pending> pending_;
    std::vector<int32_t> tokens_;
    std::vector<int64_t> sentences_, articles_;
    const char* text_ = nullptr;

    void forget() {
        entries_.clear(), known_.clear(), pieces_.clear();
        slots_.assign(FIRST_SLOTS, 0);
    }

    void end_sentence() {
        if (int64_t(tokens_.size()) > sentences_.back()) sentences_.push_back(int64_t(tokens_.size()));
    }

    void end_article() {
        end_sentence();
        if (int64_t(sentences_.size()) - 1 > articles_.back()) articles_.push_back(int64_t(sentences_.size()) - 1);
    }

    // The character at `at`, and its number of bytes; the text is UTF-8 that was checked.
    static uint32_t decode(const char* at, const char* stop, int& bytes) {
        const auto byte = [at](int i) { return uint32_t(uint8_t(at[i])); };
        bytes = byte(0) < 0x80 ? 1 : byte(0) < 0xe0 ? 2 : byte(0) < 0xf0 ? 3 : 4;
        if (stop - at < bytes) bytes = 1;
        switch (bytes) {
            case 2: return (byte(0) & 0x1f) << 6 | (byte(1) & 0x3f);
            case 3: return (byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
            case 4: return (byte(0) & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
            default: return byte(0);
        }
    }

    // What str.isspace says.
    static bool is_space(uint32_t code) {
        return (code >= 9 && code <= 13) || (code >= 28 && code <= 32) || code == 0x85 || code == 0xa0 ||
               code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 ||
               code == 0x202f || code == 0x205f || code == 0x3000;
    }

    static bool is_blank(const char* at, const char* stop) {
        for (int bytes = 0; at < stop; at += bytes)
            if (!is_space(decode(at, stop, bytes))) return false;
        return true;
    }

    static bool is_chinese(uint32_t code) {
        return (code >= 0x4e00 && code <= 0x9fff) || (code >= 0x3400 && code <= 0x4dbf) ||
               (code >= 0x20000 && code <= 0x2a6df) || (code >= 0x2a700 && code <= 0x2b73f) ||
               (code >= 0x2b740 && code <= 0x2b81f) || (code >= 0x2b820 && code <= 0x2ceaf) ||
               (code >= 0xf900 && code <= 0xfaff) || (code >= 0x2f800 && code <= 0x2fa1f);
    }

    void split(const char* at, const char* stop) {
        const char* start = at;
        bool is_ascii = true;
        const auto end_word = [&](const char* end) {
            if (end > start) stream_.push_back(FIRST_WORD + uint32_t(find(start, end, is_ascii)));
            is_ascii = true;
        };
        while (at < stop) {
            const uint8_t byte = uint8_t(*at);
            if (byte == ' ' || byte == '\t' || byte == '\r') {
                end_word(at);
                start = ++at;
            } else if (byte < 0x80) {
                ++at;
            } else {
                int bytes = 0;
                if (is_chinese(decode(at, stop, bytes)) && rules_.split_chinese) {
                    end_word(at);
                    start = at, is_ascii = false;
                    end_word(at + bytes);
                    start = at + bytes;
                } else is_ascii = false;
                at += bytes;
            }
        }
        end_word(stop);
        stream_.push_back(LINE_END);
    }

    static uint64_t hashed(const char* at, size_t length) {
        uint64_t hash = 0x9e3779b97f4a7c15u ^ length;
        for (; length >= 8; at += 8, length -= 8) {
            uint64_t piece;
            std::memcpy(&piece, at, 8);
            hash = (hash ^ piece) * 0xff51afd7ed558ccdu, hash ^= hash >> 32;
        }
        uint64_t piece = 0;
        std::memcpy(&piece, at, length);
        hash = (hash ^ piece) * 0xc4ceb9fe1a85ec53u;
        return hash ^ (hash >> 29);
    }

    // The number of the entry of a word, which is made if there is none.
    size_t find(const char* start, const char* stop, bool is_ascii) {
        const size_t length = size_t(stop - start);
        const uint64_t hash = hashed(start, length);
        size_t slot = hash & (slots_.size() - 1);
        for (; slots_[slot]; slot = (slot + 1) & (slots_.size() - 1)) {
            const Entry& entry = entries_[slots_[slot] - 1];
            if (entry.hash == hash && entry.text_length == length &&
                !std::memcmp(known_.data() + entry.text_start, start, length))
                return slots_[slot] - 1;
        }
        entries_.push_back({hash, known_.size(), pieces_.size(), uint32_t(length), 0});
        slots_[slot] = uint32_t(entries_.size());
        known_.append(start, length);
        const size_t number = entries_.size() - 1;
        if (is_ascii) entries_[number].pieces_count = cut(start, stop);
        else pending_.push_back({number, start - text_, stop - text_});
        if (2 * entries_.size() > slots_.size()) grow();
        return number;
    }

    void grow() {
        slots_.assign(2 * slots_.size(), 0);
        for (size_t number = 0; number < entries_.size(); ++number) {
            size_t slot = entries_[number].hash & (slots_.size() - 1);
            while (slots_[slot]) slot = (slot + 1) & (slots_.size() - 1);
            slots_[slot] = uint32_t(number + 1);
        }
    }

    // Append the pieces of an ASCII word; returns their number.
    uint32_t cut(const char* start, const char* stop) {
        const size_t before = pieces_.size();
        std::string part;
        const auto end_part = [&] {
            if (!part.empty()) greedy(part);
            part.clear();
        };
        for (const char* at = start; at < stop; ++at) {
            const uint8_t byte = uint8_t(*at);
            if (byte < 32 || byte == 127) continue;  // control characters are dropped
            const uint8_t lower = byte | 32;
            const bool is_letter = lower >= 'a' && lower <= 'z', is_digit = byte >= '0' && byte <= '9';
            if (is_letter || is_digit) {
                part += char(is_letter && rules_.lowercase ? lower : byte);
            } else {
                end_part();
                part = char(byte);
                end_part();
            }
        }
        end_part();
        return uint32_t(pieces_.size() - before);
    }

    void greedy(std::string_view word) {
        const size_t before = pieces_.size();
        bool is_known = int64_t(word.size()) <= rules_.most_chars;
        for (size_t start = 0; is_known && start < word.size();) {
            const auto& table = start ? continued_ : whole_;
            size_t length = std::min(word.size() - start, longest_);
            auto found = table.end();
            while (length && (found = table.find(word.substr(start, length))) == table.end()) --length;
            is_known = length > 0;
            if (is_known) pieces_.push_back(found->second);
            start += length;
        }
        if (is_known) return;
        pieces_.resize(before);
        pieces_.push_back(rules_.unknown);
    }
};
