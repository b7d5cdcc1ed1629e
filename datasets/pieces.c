/* pieces.c - documents of texts as a dataset: ids of each, cut into pieces; see datasets.h. */
#include "base/core/mem.h"
#include "datasets/dataset.h"

#include <math.h>
#include <string.h>

enum { STRETCH = 256 << 10 };

struct cutter {
    struct lorac_dataset *d;
    const struct lorac_texts *texts;
    const struct lorac_text_options *o;
    struct lorac_encoder *encoder;
    // of masks:
    const struct lorac_ids *before, *after; // a piece; the tokenizer's
    struct lorac_ids ids;                   // of a document
};

static bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Where the stretch that begins at `from` ends: behind a line end, else before a space, that stands
 * alone between other characters: pre-tokenizers divide there, whatever follows. Else behind a
 * whole character. */
static size_t stretch_end(const char *text, size_t from, size_t n, size_t stretch)
{
    size_t most = from + stretch;
    size_t space = 0;
    if (n - from <= stretch) { return n; }
    for (size_t i = most; i > from + 1; i--) { // between i - 1 and i
        bool alone = !is_white(text[i]) && is_white(text[i - 1]) && !is_white(text[i - 2]);
        if (alone && text[i - 1] == '\n') { return i; }
        if (alone && text[i - 1] == ' ' && i > from + 2 && !space) { space = i - 1; }
    }
    if (space) { return space; }
    while (most < n && ((unsigned char)text[most] & 0xC0) == 0x80) {
        most++;
    }
    return most;
}

/* Append the ids of a document; `begins`: what the tokenizer puts in front as well. */
static enum lorac_status encode(struct lorac_ids *ids, struct cutter *c,
                                const struct lorac_document *doc, unsigned begins,
                                struct lorac_err *err)
{
    struct lorac_dataset *d = c->d;
    const char *text = (const char *)c->texts->files[doc->file].map.data + doc->begin;
    size_t stretch = c->o->stretch ? c->o->stretch : STRETCH;
    enum lorac_status st = lorac_encoder_for(&c->encoder, d->tokenizer, err);
    for (size_t from = 0; from < doc->n && !st;) {
        size_t end = stretch_end(text, from, doc->n, stretch);
        struct lorac_text part = {text + from, end - from, false};
        st = lorac_encoder_encode(ids, c->encoder, &part, 1, from ? LORAC_ENCODE_CONTINUES : begins,
                                  err);
        if (st) {
            lorac_err_prefix(err, "%s: document %zu, from byte %zu on: ",
                             c->texts->files[doc->file].path, doc->number + 1, doc->begin + from);
        }
        from = end;
    }
    int32_t eos = lorac_tokenizer_eos(d->tokenizer);
    bool there = ids->n > 0 && ids->at[ids->n - 1] == eos;
    if (st || !c->o->append_eos || !doc->ends || there) { return st; }
    return lorac_ids_add(ids, eos, err);
}

/* About how many tokens are hidden in one pass. */
static size_t asked_of(const struct lorac_dataset *d, const struct lorac_ids *ids)
{
    double some = round(d->o.mask_share * (double)lorac_maskable(d, ids->at, ids->n));
    return some < 1.0 ? 1 : (size_t)some;
}

/* One piece: ids start .. start+n-1 of d->cache. */
static enum lorac_status add_piece(struct cutter *c, const struct lorac_document *doc, size_t start,
                                   size_t n, struct lorac_err *err)
{
    struct lorac_dataset *d = c->d;
    struct lorac_data_counts *counts = &d->counts;
    struct lorac_entry *entries =
        lorac_mem_grow(d->entries, d->n, &d->cap, d->n + 1, sizeof *entries);
    if (!entries) { return lorac_dataset_no_memory(d, err); }
    d->entries = entries;
    struct lorac_example e = {.ids = {d->cache.at + start, n, n}, .trained_from = 1}; // borrowed
    enum lorac_status st = lorac_dataset_keep(d, start, &e, err);
    if (st) { return st; }
    entries[d->n++] = (struct lorac_entry){
        .hash = lorac_example_hash(&e), .row = (uint32_t)doc->number, .tokens = (uint32_t)n};
    counts->tokens += n;
    counts->trained += d->objective->masks ? asked_of(d, &e.ids) : n - 1;
    counts->longest = n > counts->longest ? n : counts->longest;
    counts->shortest = d->n == 1 || n < counts->shortest ? n : counts->shortest;
    counts->last_trained_is_eos += e.ids.at[n - 1] == lorac_tokenizer_eos(d->tokenizer);
    return d->n < UINT32_MAX - 1
               ? LORAC_OK
               : lorac_fail(err, LORAC_ENOTSUP, "%s: more than 2^32 pieces", d->file);
}

/* Bytes that token `id` spells. */
static enum lorac_status bytes_of(size_t *out, const struct lorac_dataset *d, int32_t id,
                                  struct lorac_err *err)
{
    struct lorac_buf text = {0};
    enum lorac_status st = lorac_decode(&text, d->tokenizer, &id, 1, false, err);
    *out = text.n;
    lorac_buf_free(&text);
    return st;
}

static enum lorac_status add_document(struct cutter *c, const struct lorac_document *doc,
                                      struct lorac_err *err)
{
    struct lorac_dataset *d = c->d;
    size_t start = d->cache.n;
    size_t unscored = 0;
    enum lorac_status st = encode(&d->cache, c, doc, LORAC_ENCODE_BEGINS, err);
    size_t n = d->cache.n - start;
    if (!st && n < 2) { // nothing to train
        d->counts.short_documents++;
        return LORAC_OK;
    }
    for (size_t at = 0; at + 1 < n && !st; at += c->o->max_length - 1) {
        size_t left = n - at;
        st = add_piece(c, doc, start + at, left < c->o->max_length ? left : c->o->max_length, err);
    }
    // without BOS the first token of the text is nobody's target
    if (!st && d->n_begin == 0) { st = bytes_of(&unscored, d, d->cache.at[start], err); }
    d->counts.documents++;
    d->counts.bytes += doc->n > unscored ? doc->n - unscored : 0;
    return st;
}

/* One piece to be masked, framed. */
static enum lorac_status add_framed(struct cutter *c, const struct lorac_document *doc,
                                    const int32_t *ids, size_t n, struct lorac_err *err)
{
    struct lorac_dataset *d = c->d;
    const struct {
        const int32_t *at;
        size_t n;
    } parts[] = {{c->before->at, c->before->n}, {ids, n}, {c->after->at, c->after->n}};
    size_t start = d->cache.n;
    enum lorac_status st = LORAC_OK;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        for (size_t t = 0; t < parts[p].n && !st; t++) {
            st = lorac_ids_add(&d->cache, parts[p].at[t], err);
        }
    }
    return st ? st : add_piece(c, doc, start, d->cache.n - start, err);
}

/* The pieces of a document that is masked: each token is in one of them. */
static enum lorac_status add_masked(struct cutter *c, const struct lorac_document *doc,
                                    struct lorac_err *err)
{
    struct lorac_dataset *d = c->d;
    size_t room = c->o->max_length - c->before->n - c->after->n;
    size_t before = d->n;
    c->ids.n = 0;
    enum lorac_status st = encode(&c->ids, c, doc, LORAC_ENCODE_ALONE, err);
    for (size_t at = 0; at < c->ids.n && !st; at += room) {
        size_t n = c->ids.n - at < room ? c->ids.n - at : room;
        if (lorac_maskable(d, c->ids.at + at, n)) {
            st = add_framed(c, doc, c->ids.at + at, n, err);
        } else {
            d->counts.special_pieces++;
        }
    }
    d->counts.documents += d->n > before;
    d->counts.short_documents += c->ids.n == 0;
    return st;
}

/* There is room for a token in the frame. */
static enum lorac_status check_frame(const struct cutter *c, struct lorac_err *err)
{
    size_t frame = c->before->n + c->after->n;
    if (c->o->max_length > frame) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "max_length: %zu, but the tokenizer puts %zu tokens around a text; expected "
                      "%zu or more",
                      c->o->max_length, frame, frame + 1);
}

/* Are these texts to be masked, and can they? */
static enum lorac_status check_objective(const struct lorac_text_options *o,
                                         const struct lorac_tokenizer *tokenizer,
                                         struct lorac_err *err)
{
    if (!o->objective) { return LORAC_OK; }
    const char *name = o->objective->name;
    if (o->objective->target) {
        return lorac_fail(err, LORAC_EUSER,
                          "objective: %s learns from a column, and texts have none", name);
    }
    if (!o->objective->masks) { return LORAC_OK; }
    if (o->append_eos) {
        return lorac_fail(err, LORAC_EUSER,
                          "append_eos: has no effect with objective: %s, whose texts end as the "
                          "tokenizer frames them",
                          name);
    }
    if (!(o->mask_share > 0.0 && o->mask_share < 1.0)) {
        return lorac_fail(err, LORAC_EUSER, "mask_share: %g, expected a number between 0 and 1",
                          o->mask_share);
    }
    return lorac_tokenizer_mask(tokenizer) >= 0
               ? LORAC_OK
               : lorac_fail(
                     err, LORAC_EUSER,
                     "objective: %s hides tokens behind the tokenizer's mask token, and it "
                     "has none (mask_token in tokenizer_config.json), expected one as [MASK]",
                     name);
}

static enum lorac_status check_options(const struct lorac_text_options *o,
                                       const struct lorac_tokenizer *tokenizer,
                                       struct lorac_err *err)
{
    if (o->max_length < 2 || o->max_length > UINT32_MAX / 2) {
        return lorac_fail(err, LORAC_EUSER, "max_length: %zu, expected 2 to %u", o->max_length,
                          UINT32_MAX / 2);
    }
    if (o->append_eos && lorac_tokenizer_eos(tokenizer) < 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "append_eos: the tokenizer has no end-of-sequence token, expected one");
    }
    return check_objective(o, tokenizer, err);
}

static enum lorac_status add_documents(struct cutter *c, struct lorac_err *err)
{
    struct lorac_dataset *d = c->d;
    const bool masks = d->objective->masks;
    enum lorac_status st = lorac_prompt_begin(&d->n_begin, d->tokenizer, err);
    if (!st && masks) { st = check_frame(c, err); }
    for (size_t i = 0; i < c->texts->n && !st; i++) {
        const struct lorac_document *doc = &c->texts->at[i];
        if (doc->held_out != c->o->held_out) { continue; }
        st = masks ? add_masked(c, doc, err) : add_document(c, doc, err);
    }
    d->counts.rows = d->counts.used = d->n;
    if (!c->o->held_out) { d->counts.blank_documents = c->texts->blank; } // told once
    if (!st && d->n == 0) {
        st = lorac_fail(err, LORAC_EFORMAT,
                        masks ? "%s: no document has a token that can be masked, expected at least "
                                "one that has"
                              : "%s: no document has two tokens or more, expected at least one "
                                "that has",
                        d->file);
    }
    return st;
}

enum lorac_status lorac_dataset_open_texts(struct lorac_dataset **out,
                                           const struct lorac_texts *texts,
                                           const struct lorac_tokenizer *tokenizer,
                                           const struct lorac_text_options *o,
                                           struct lorac_err *err)
{
    *out = NULL;
    enum lorac_status st = check_options(o, tokenizer, err);
    if (st) { return st; }
    struct lorac_dataset *d = lorac_mem_new(1, sizeof *d);
    if (!d) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a dataset"); }
    struct cutter c = {.d = d,
                       .texts = texts,
                       .o = o,
                       .before = lorac_tokenizer_before(tokenizer),
                       .after = lorac_tokenizer_after(tokenizer)};
    d->tokenizer = tokenizer;
    d->objective = o->objective ? o->objective : &lorac_objectives[0];
    d->o.max_length = o->max_length;
    d->o.mask_share = o->mask_share;
    d->cached = true;
    d->file = lorac_mem_string(texts->files[0].path, strlen(texts->files[0].path));
    st =
        d->file ? add_documents(&c, err) : lorac_fail(err, LORAC_ENOMEM, "no memory for a dataset");
    lorac_encoder_free(c.encoder);
    lorac_ids_free(&c.ids);
    if (st) {
        lorac_dataset_close(d);
        d = NULL;
    }
    *out = d;
    return st;
}
