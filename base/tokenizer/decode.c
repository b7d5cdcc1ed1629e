/*
 * decode.c - ids to text, as src/decoders of the reference.
 *
 * The reader accepts decoders only in this order, so that a stream can tell which text is final:
 *   per token:  Replace, Strip, Metaspace, WordPiece; then ByteFallback
 *   the whole:  Fuse or ByteLevel; then Strip of the beginning
 */
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <string.h>

/* What was decoded before the tokens at hand. */
struct before {
    bool any_token, any_text;
};

struct decoder {
    const struct lorac_tokenizer *t;
    struct lorac_lane lane, tmp;
    struct lorac_matcher matcher;
    size_t limit; // bytes that the text may grow to
    size_t open;  // bytes at the end that later tokens can change
    bool raw;     // bytes that form no character stay bytes
};

static enum lorac_status replace(struct decoder *d, const struct lorac_dec *dec, const char *s,
                                 size_t n, struct lorac_err *err)
{
    struct lorac_cursor cursor = {0};
    for (size_t done = 0; n > 0;) {
        size_t begin = 0;
        size_t end = 0;
        enum lorac_status st =
            lorac_pattern_next(&begin, &end, &cursor, &dec->pattern, &d->matcher, s, n, err);
        if (st) { return st; }
        lorac_buf_add(&d->tmp.text, s + done, (begin > n ? n : begin) - done);
        if (begin > n) { break; }
        lorac_buf_add(&d->tmp.text, dec->text, dec->n);
        if (d->tmp.text.n > d->limit) { break; } // refused by decode()
        done = end;
    }
    return lorac_lane_close(&d->tmp, true, err);
}

static enum lorac_status strip(struct decoder *d, const struct lorac_dec *dec, const char *s,
                               size_t n, struct lorac_err *err)
{
    const size_t len = strlen(dec->mark);
    size_t cut = 0;
    for (size_t i = 0; i < dec->start && n - cut >= len; i++) {
        if (memcmp(s + cut, dec->mark, len) != 0) { break; }
        cut += len;
    }
    lorac_buf_add(&d->tmp.text, s + cut, n - cut);
    return lorac_lane_close(&d->tmp, true, err);
}

static enum lorac_status metaspace(struct decoder *d, const struct lorac_dec *dec, const char *s,
                                   size_t n, bool first, struct lorac_err *err)
{
    const size_t len = strlen(dec->mark);
    for (size_t i = 0; i < n;) {
        if (n - i >= len && memcmp(s + i, dec->mark, len) == 0) {
            if (!first || !dec->prefix) { lorac_buf_str(&d->tmp.text, " "); }
            i += len;
        } else {
            lorac_buf_add(&d->tmp.text, s + i++, 1);
        }
    }
    return lorac_lane_close(&d->tmp, true, err);
}

/* cleanup() of wordpiece.rs, of one token; none becomes longer. */
static size_t clean_up(char *s, size_t n)
{
    static const char *const changes[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (size_t k = 0; k < sizeof changes / sizeof *changes; k++) {
        const size_t from = strlen(changes[k][0]);
        const size_t to = strlen(changes[k][1]);
        size_t used = 0;
        for (size_t i = 0; i < n;) {
            const bool found = n - i >= from && memcmp(s + i, changes[k][0], from) == 0;
            memmove(s + used, found ? changes[k][1] : s + i, found ? to : 1);
            used += found ? to : 1;
            i += found ? from : 1;
        }
        n = used;
    }
    return n;
}

/* A token that goes on loses the prefix, another one but the first gets a space. */
static enum lorac_status wordpiece(struct decoder *d, const struct lorac_dec *dec, const char *s,
                                   size_t n, bool first, struct lorac_err *err)
{
    const bool goes_on = !first && n >= dec->n && memcmp(s, dec->text, dec->n) == 0;
    const size_t begin = d->tmp.text.n;
    if (!first && !goes_on) { lorac_buf_str(&d->tmp.text, " "); }
    lorac_buf_add(&d->tmp.text, s + (goes_on ? dec->n : 0), n - (goes_on ? dec->n : 0));
    if (dec->cleanup && !d->tmp.text.no_memory && d->tmp.text.n > begin) {
        d->tmp.text.n = begin + clean_up(d->tmp.text.at + begin, d->tmp.text.n - begin);
    }
    return lorac_lane_close(&d->tmp, true, err);
}

/* The byte of "<0x0A>", -1: another token. */
static int byte_token(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') { return -1; }
    int value = 0;
    for (int i = 3; i < 5; i++) {
        const char *const digits = "0123456789abcdef0123456789ABCDEF";
        const char *at = s[i] ? strchr(digits, s[i]) : NULL;
        if (!at) { return -1; }
        value = value * 16 + (int)((at - digits) % 16);
    }
    return value;
}

/* A run of byte tokens: their text, or as many U+FFFD. */
static enum lorac_status end_run(struct decoder *d, struct lorac_buf *run, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    if (run->no_memory) { return lorac_no_memory(err); }
    const size_t before = d->tmp.text.n;
    if (run->n && (d->raw || lorac_utf8_check(run->at, run->n) == run->n)) {
        lorac_buf_add(&d->tmp.text, run->at, run->n);
        st = lorac_lane_close(&d->tmp, true, err);
    } else {
        for (size_t i = 0; i < run->n && !st; i++) {
            lorac_buf_str(&d->tmp.text, "\xEF\xBF\xBD");
            st = lorac_lane_close(&d->tmp, true, err);
        }
    }
    d->open = d->tmp.text.n - before;
    lorac_buf_clear(run);
    return st;
}

static enum lorac_status byte_fallback(struct decoder *d, struct lorac_err *err)
{
    struct lorac_buf run = {0};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0, from = 0; i < d->lane.n && !st; from = d->lane.end[i++]) {
        const size_t n = d->lane.end[i] - from;
        const char *s = n ? d->lane.text.at + from : "";
        int byte = byte_token(s, n);
        if (byte >= 0) {
            lorac_buf_add(&run, (char[]){(char)byte}, 1);
            continue;
        }
        st = end_run(d, &run, err);
        lorac_buf_add(&d->tmp.text, s, n);
        if (!st) { st = lorac_lane_close(&d->tmp, true, err); }
    }
    if (!st) { st = end_run(d, &run, err); }
    lorac_buf_free(&run);
    return st;
}

/* Each token as the bytes that its characters stand for; as it is where one stands for none. */
static enum lorac_status byte_level(struct decoder *d, struct lorac_err *err)
{
    struct lorac_buf bytes = {0};
    for (size_t i = 0, from = 0; i < d->lane.n; from = d->lane.end[i++]) {
        const size_t n = d->lane.end[i] - from;
        const char *s = n ? d->lane.text.at + from : "";
        const size_t mark = bytes.n;
        uint32_t cp = 0;
        for (size_t k = 0, len = 0; k < n; k += len) {
            len = lorac_utf8_next(s + k, n - k, &cp);
            const int byte = len ? lorac_char_byte(cp) : -1;
            if (byte < 0) {
                bytes.n = mark;
                lorac_buf_add(&bytes, s, n);
                break;
            }
            lorac_buf_add(&bytes, (char[]){(char)byte}, 1);
        }
    }
    if (d->raw) {
        lorac_buf_add(&d->tmp.text, bytes.at ? bytes.at : "", bytes.n);
    } else if (!bytes.no_memory && bytes.n) {
        d->open = lorac_utf8_lossy(&d->tmp.text, bytes.at, bytes.n);
    }
    enum lorac_status st =
        bytes.no_memory ? lorac_no_memory(err) : lorac_lane_close(&d->tmp, true, err);
    lorac_buf_free(&bytes);
    return st;
}

static enum lorac_status fuse(struct decoder *d, struct lorac_err *err)
{
    lorac_buf_add(&d->tmp.text, d->lane.text.at ? d->lane.text.at : "", d->lane.text.n);
    return lorac_lane_close(&d->tmp, true, err);
}

static enum lorac_status apply(struct decoder *d, const struct lorac_dec *dec, struct before before,
                               struct lorac_err *err)
{
    if (dec->kind == DEC_FUSE) { return fuse(d, err); }
    if (dec->kind == DEC_BYTE_LEVEL) { return byte_level(d, err); }
    if (dec->kind == DEC_BYTE_FALLBACK) { return byte_fallback(d, err); }
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0, from = 0; i < d->lane.n && !st; from = d->lane.end[i++]) {
        const size_t n = d->lane.end[i] - from;
        const char *s = n ? d->lane.text.at + from : "";
        if (dec->kind == DEC_REPLACE) {
            st = replace(d, dec, s, n, err);
        } else if (dec->kind == DEC_METASPACE) {
            st = metaspace(d, dec, s, n, i == 0 && !before.any_token, err);
        } else if (dec->kind == DEC_WORDPIECE) {
            st = wordpiece(d, dec, s, n, i == 0 && !before.any_token, err);
        } else if (dec->whole && before.any_text) {
            lorac_buf_add(&d->tmp.text, s, n);
            st = lorac_lane_close(&d->tmp, true, err);
        } else {
            st = strip(d, dec, s, n, err);
        }
    }
    return st;
}

/* What decoders see of an id: of an added token its normalised form, as encoding took it away. (The
 * reference then fails to skip such a token where it is special; this does not.) */
static enum lorac_status add_token(struct decoder *d, int32_t id, bool skip_special, bool spaced,
                                   struct lorac_err *err)
{
    const struct lorac_added *a = lorac_added_find(d->t, id);
    size_t n = 0;
    const char *s = lorac_vocab_text(&d->t->vocab, id, &n);
    if (a) {
        s = a->match;
        n = a->n;
    }
    if (!s) {
        return lorac_fail(err, LORAC_EUSER, "id %d is no token: the vocabulary has %zu", (int)id,
                          d->t->size);
    }
    if (a && a->special && skip_special) { return LORAC_OK; }
    // without a decoder the reference joins tokens with spaces
    if (d->t->n_dec == 0 && spaced) { lorac_buf_str(&d->lane.text, " "); }
    lorac_buf_add(&d->lane.text, s, n);
    return lorac_lane_close(&d->lane, true, err);
}

/* The text of the ids in d->lane.text. `*before` is brought up to date with all of them. */
static enum lorac_status decode(struct decoder *d, const int32_t *ids, size_t n, bool skip_special,
                                struct before *before, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    lorac_lane_clear(&d->lane);
    d->open = 0;
    for (size_t i = 0; i < n && !st; i++) {
        st = add_token(d, ids[i], skip_special, d->lane.n || before->any_token, err);
    }
    const bool any_token = d->lane.n > 0;
    d->limit = lorac_growth_limit(d->lane.text.n);
    for (size_t i = 0; i < d->t->n_dec && !st; i++) {
        lorac_lane_clear(&d->tmp);
        st = apply(d, &d->t->dec[i], *before, err);
        if (!st && d->tmp.text.n > d->limit) {
            st = lorac_fail(err, LORAC_EFORMAT, "decoder %zu makes more than %zu bytes of text", i,
                            d->limit);
        }
        struct lorac_lane swap = d->lane;
        d->lane = d->tmp;
        d->tmp = swap;
    }
    if (!st && d->lane.text.no_memory) { st = lorac_no_memory(err); }
    before->any_token |= any_token;
    before->any_text |= d->lane.text.n > 0;
    return st;
}

static void release(struct decoder *d)
{
    lorac_lane_free(&d->lane);
    lorac_lane_free(&d->tmp);
    lorac_matcher_release(&d->matcher);
}

static enum lorac_status append_decoded(struct lorac_buf *text, struct decoder *d,
                                        const int32_t *ids, size_t n, bool skip_special,
                                        struct before before, struct lorac_err *err)
{
    enum lorac_status st = decode(d, ids, n, skip_special, &before, err);
    if (!st) {
        lorac_buf_add(text, d->lane.text.at ? d->lane.text.at : "", d->lane.text.n);
        if (text->no_memory) { st = lorac_no_memory(err); }
    }
    release(d);
    return st;
}

enum lorac_status lorac_decode(struct lorac_buf *text, const struct lorac_tokenizer *t,
                               const int32_t *ids, size_t n, bool skip_special,
                               struct lorac_err *err)
{
    struct decoder d = {.t = t};
    return append_decoded(text, &d, ids, n, skip_special, (struct before){0}, err);
}

enum lorac_status lorac_token_bytes(struct lorac_buf *bytes, const struct lorac_tokenizer *t,
                                    int32_t id, struct lorac_err *err)
{
    struct decoder d = {.t = t, .raw = true};
    return append_decoded(bytes, &d, &id, 1, false, (struct before){true, true}, err);
}

/* Show what is final of the decoded text. The ids of a stream are those whose text is not; once it
 * is they are dropped. */
static enum lorac_status show(struct lorac_buf *text, struct lorac_stream *s,
                              const struct decoder *d, struct before before, bool end,
                              struct lorac_err *err)
{
    const size_t n = d->lane.text.n;
    const size_t open = end ? 0 : d->open;
    const size_t shown = n > open ? n - open : 0;
    if (shown > s->shown) {
        lorac_buf_add(text, d->lane.text.at + s->shown, shown - s->shown);
        if (text->no_memory) { return lorac_no_memory(err); }
        s->shown = shown;
    }
    if (open == 0 && before.any_text) { // until there is text, Strip counts what it takes
        s->ids.n = 0;
        s->shown = 0;
        s->any_token = before.any_token;
        s->any_text = before.any_text;
    }
    return LORAC_OK;
}

static enum lorac_status advance(struct lorac_buf *text, struct lorac_stream *s,
                                 const struct lorac_tokenizer *t, bool skip_special, bool end,
                                 struct lorac_err *err)
{
    struct decoder d = {.t = t};
    struct before before = {.any_token = s->any_token, .any_text = s->any_text};
    enum lorac_status st = decode(&d, s->ids.at, s->ids.n, skip_special, &before, err);
    if (!st) { st = show(text, s, &d, before, end, err); }
    release(&d);
    return st;
}

enum lorac_status lorac_stream_add(struct lorac_buf *text, struct lorac_stream *s,
                                   const struct lorac_tokenizer *t, int32_t id, bool skip_special,
                                   struct lorac_err *err)
{
    enum lorac_status st = lorac_ids_add(&s->ids, id, err);
    if (st) { return st; }
    st = advance(text, s, t, skip_special, false, err);
    if (st) { s->ids.n--; } // as if it had not been given
    return st;
}

enum lorac_status lorac_stream_end(struct lorac_buf *text, struct lorac_stream *s,
                                   const struct lorac_tokenizer *t, bool skip_special,
                                   struct lorac_err *err)
{
    return advance(text, s, t, skip_special, true, err);
}

void lorac_stream_free(struct lorac_stream *s)
{
    lorac_ids_free(&s->ids);
    *s = (struct lorac_stream){0};
}
