/* pieces.c - documents of texts as a dataset: ids of each, cut into pieces; see datasets.h. */
#include "base/core/mem.h"
#include "datasets/dataset.h"

#include <string.h>

enum { STRETCH = 256 << 10 };

struct cutter {
    struct lorac_dataset *d;
    const struct lorac_texts *texts;
    const struct lorac_text_options *o;
    struct lorac_encoder *encoder;
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

/* Append the ids of a document to d->cache. */
static enum lorac_status encode(struct cutter *c, const struct lorac_document *doc,
                                struct lorac_err *err)
{
    struct lorac_dataset *d = c->d;
    const char *text = (const char *)c->texts->files[doc->file].map.data + doc->begin;
    size_t stretch = c->o->stretch ? c->o->stretch : STRETCH;
    enum lorac_status st = lorac_encoder_for(&c->encoder, d->tokenizer, err);
    for (size_t from = 0; from < doc->n && !st;) {
        size_t end = stretch_end(text, from, doc->n, stretch);
        struct lorac_text part = {text + from, end - from, false};
        st = lorac_encoder_encode(&d->cache, c->encoder, &part, 1,
                                  from ? LORAC_ENCODE_CONTINUES : LORAC_ENCODE_BEGINS, err);
        if (st) {
            lorac_err_prefix(err, "%s: document %zu, from byte %zu on: ",
                             c->texts->files[doc->file].path, doc->number + 1, doc->begin + from);
        }
        from = end;
    }
    int32_t eos = lorac_tokenizer_eos(d->tokenizer);
    bool there = d->cache.n > 0 && d->cache.at[d->cache.n - 1] == eos;
    if (st || !c->o->append_eos || !doc->ends || there) { return st; }
    return lorac_ids_add(&d->cache, eos, err);
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
    counts->trained += n - 1;
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
    enum lorac_status st = encode(c, doc, err);
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
    return LORAC_OK;
}

static enum lorac_status add_documents(struct cutter *c, struct lorac_err *err)
{
    struct lorac_dataset *d = c->d;
    enum lorac_status st = lorac_prompt_begin(&d->n_begin, d->tokenizer, err);
    for (size_t i = 0; i < c->texts->n && !st; i++) {
        const struct lorac_document *doc = &c->texts->at[i];
        if (doc->held_out == c->o->held_out) { st = add_document(c, doc, err); }
    }
    d->counts.rows = d->counts.used = d->n;
    if (!c->o->held_out) { d->counts.blank_documents = c->texts->blank; } // told once
    if (!st && d->n == 0) {
        st = lorac_fail(err, LORAC_EFORMAT,
                        "%s: no document has two tokens or more, expected at least one that has",
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
    struct cutter c = {.d = d, .texts = texts, .o = o};
    d->tokenizer = tokenizer;
    d->objective = &lorac_objectives[0];
    d->o.max_length = o->max_length;
    d->cached = true;
    d->file = lorac_mem_string(texts->files[0].path, strlen(texts->files[0].path));
    st =
        d->file ? add_documents(&c, err) : lorac_fail(err, LORAC_ENOMEM, "no memory for a dataset");
    lorac_encoder_free(c.encoder);
    if (st) {
        lorac_dataset_close(d);
        d = NULL;
    }
    *out = d;
    return st;
}
