/* encode.c - text to ids: the pipeline drawn in impl.h. */
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <string.h>

size_t lorac_ids_common(const int32_t *a, size_t n, const int32_t *b, size_t m)
{
    size_t i = 0;
    while (i < n && i < m && a[i] == b[i]) {
        i++;
    }
    return i;
}

int lorac_ids_compare(const int32_t *a, size_t n, const int32_t *b, size_t m)
{
    size_t i = lorac_ids_common(a, n, b, m);
    if (i < n && i < m) { return a[i] < b[i] ? -1 : 1; }
    return n < m ? -1 : n > m;
}

enum lorac_status lorac_ids_add(struct lorac_ids *ids, int32_t id, struct lorac_err *err)
{
    if (ids->n == ids->cap) {
        int32_t *p = lorac_mem_grow(ids->at, ids->n, &ids->cap, ids->n + 1, sizeof *p);
        if (!p) { return lorac_no_memory(err); }
        ids->at = p;
    }
    ids->at[ids->n++] = id;
    return LORAC_OK;
}

void lorac_ids_free(struct lorac_ids *ids)
{
    lorac_mem_free(ids->at);
    *ids = (struct lorac_ids){0};
}

static enum lorac_status add_all(struct lorac_ids *ids, const struct lorac_ids *more,
                                 struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < more->n && !st; i++) {
        st = lorac_ids_add(ids, more->at[i], err);
    }
    return st;
}

static enum lorac_status add_typed(struct lorac_ids *ids, struct lorac_ids *types,
                                   const struct lorac_ids *more, int32_t type,
                                   struct lorac_err *err)
{
    enum lorac_status st = add_all(ids, more, err);
    for (size_t i = 0; i < more->n && !st; i++) {
        st = lorac_ids_add(types, type, err);
    }
    return st;
}

enum lorac_status lorac_pair_join(struct lorac_ids *ids, struct lorac_ids *types,
                                  const struct lorac_pair_form *pair, const struct lorac_ids *a,
                                  const struct lorac_ids *b, struct lorac_err *err)
{
    const struct lorac_ids *const texts[] = {a, b};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < 3 && !st; i++) {
        st = add_all(ids, &pair->ids[i], err);
        if (!st) { st = add_all(types, &pair->types[i], err); }
        if (!st && i < 2) { st = add_typed(ids, types, texts[i], pair->type[i], err); }
    }
    return st;
}

/* What a call works with; all of it but `t` may be used again by the next. */
struct lorac_encoder {
    const struct lorac_tokenizer *t;
    struct lorac_ids ids; // of the call
    struct lorac_marked text, part, tmp;
    struct lorac_stretches raw, normalized;
    struct lorac_lane lane;
    struct lorac_pre_scratch pre;
    struct lorac_bpe bpe;
    struct lorac_matcher matcher;
};

static void release(struct lorac_encoder *e)
{
    lorac_ids_free(&e->ids);
    lorac_marked_free(&e->text);
    lorac_marked_free(&e->part);
    lorac_marked_free(&e->tmp);
    lorac_mem_free(e->raw.at);
    lorac_mem_free(e->normalized.at);
    lorac_lane_free(&e->lane);
    lorac_pre_release(&e->pre);
    lorac_bpe_release(&e->bpe);
    lorac_matcher_release(&e->matcher);
}

static void clear(struct lorac_encoder *e)
{
    e->ids.n = e->raw.n = e->normalized.n = 0;
    lorac_marked_clear(&e->text);
}

enum lorac_status lorac_encoder_for(struct lorac_encoder **e, const struct lorac_tokenizer *t,
                                    struct lorac_err *err)
{
    if (*e && (*e)->t == t) { return LORAC_OK; }
    lorac_encoder_free(*e);
    *e = lorac_mem_new(1, sizeof **e);
    if (!*e) { return lorac_no_memory(err); }
    (*e)->t = t;
    return LORAC_OK;
}

void lorac_encoder_free(struct lorac_encoder *e)
{
    if (!e) { return; }
    release(e);
    lorac_mem_free(e);
}

static enum lorac_status join(struct lorac_encoder *e, const struct lorac_text *texts,
                              size_t n_texts, struct lorac_err *err)
{
    for (size_t i = 0; i < n_texts; i++) {
        if (texts[i].n > TOK_MAX_TEXT || e->text.text.n > TOK_MAX_TEXT - texts[i].n) {
            return lorac_fail(err, LORAC_EUSER, "the text to encode is longer than %d bytes",
                              TOK_MAX_TEXT);
        }
        if (texts[i].n == 0) { continue; }
        lorac_marked_fill(&e->text, texts[i].at, texts[i].n, texts[i].special ? MARK_SPECIAL : 0);
    }
    if (e->text.text.no_memory || e->text.mark.no_memory) { return lorac_no_memory(err); }
    const size_t bad = e->text.text.n ? lorac_utf8_check(e->text.text.at, e->text.text.n) : 0;
    if (bad < e->text.text.n) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "the text to encode is not UTF-8: byte 0x%02X at offset %zu",
                          (unsigned char)e->text.text.at[bad], bad);
    }
    return LORAC_OK;
}

/* Text without added tokens: part.text[begin,end). */
static enum lorac_status encode_plain(struct lorac_encoder *e, size_t begin, size_t end,
                                      bool is_first, bool continues, struct lorac_err *err)
{
    const struct lorac_marked *part = &e->part;
    if (is_first && continues) {
        while (begin < end && (part->mark.at[begin] & MARK_PREFIX)) {
            begin++;
        }
    }
    if (begin == end) { return LORAC_OK; }
    if (e->t->n_pre == 0) {
        return lorac_bpe_encode(&e->ids, &e->bpe, e->t, part->text.at + begin, end - begin, err);
    }
    lorac_lane_clear(&e->lane);
    e->lane.first = is_first;
    lorac_buf_add(&e->lane.text, part->text.at + begin, end - begin);
    enum lorac_status st = lorac_lane_close(&e->lane, false, err);
    if (!st) { st = lorac_pretokenize(&e->lane, &e->pre, e->t, &e->matcher, continues, err); }
    for (size_t i = 0, from = 0; i < e->lane.n && !st; from = e->lane.end[i++]) {
        st = lorac_bpe_encode(&e->ids, &e->bpe, e->t, e->lane.text.at + from, e->lane.end[i] - from,
                              err);
    }
    return st;
}

/* Text without the added tokens that are not normalised: text[s.begin,s.end). */
static enum lorac_status encode_stretch(struct lorac_encoder *e, struct lorac_stretch s,
                                        bool continues, struct lorac_err *err)
{
    lorac_marked_clear(&e->part);
    lorac_marked_add(&e->part, e->text.text.at + s.begin, s.end - s.begin,
                     e->text.mark.at + s.begin);
    if (e->part.text.no_memory || e->part.mark.no_memory) { return lorac_no_memory(err); }
    enum lorac_status st = lorac_normalize(&e->part, &e->tmp, e->t, &e->matcher, err);
    if (st || e->part.text.n == 0) { return st; }
    e->normalized.n = 0;
    st = lorac_added_split(&e->normalized, &e->t->normalized, &e->part, 0, e->part.text.n, err);
    for (size_t i = 0; i < e->normalized.n && !st; i++) {
        const struct lorac_stretch *p = &e->normalized.at[i];
        if (p->id >= 0) {
            st = lorac_ids_add(&e->ids, p->id, err);
        } else {
            st = encode_plain(e, p->begin, p->end, s.begin == 0 && p->begin == 0, continues, err);
        }
    }
    return st;
}

/* ids[from, from + what->n) are those of `what`. */
static bool holds(const struct lorac_ids *ids, size_t from, const struct lorac_ids *what)
{
    return what->n && ids->n >= what->n &&
           memcmp(ids->at + from, what->at, what->n * sizeof *what->at) == 0;
}

enum lorac_status lorac_encoder_encode(struct lorac_ids *ids, struct lorac_encoder *e,
                                       const struct lorac_text *texts, size_t n_texts,
                                       unsigned flags, struct lorac_err *err)
{
    const struct lorac_tokenizer *t = e->t;
    const struct lorac_ids *body = &e->ids;
    const size_t kept = ids->n;
    clear(e);
    enum lorac_status st = join(e, texts, n_texts, err);
    if (!st && e->text.text.n) {
        st = lorac_added_split(&e->raw, &t->raw, &e->text, 0, e->text.text.n, err);
    }
    for (size_t i = 0; i < e->raw.n && !st; i++) {
        const struct lorac_stretch *s = &e->raw.at[i];
        st = s->id >= 0 ? lorac_ids_add(&e->ids, s->id, err)
                        : encode_stretch(e, *s, flags & LORAC_ENCODE_CONTINUES, err);
    }
    if (st) { goto done; }
    if ((flags & LORAC_ENCODE_BEGINS) && !holds(body, 0, &t->before)) {
        st = add_all(ids, &t->before, err);
    }
    if (!st) { st = add_all(ids, body, err); }
    if (!st && (flags & LORAC_ENCODE_ENDS) && !holds(body, body->n - t->after.n, &t->after)) {
        st = add_all(ids, &t->after, err);
    }
done:
    if (st) { ids->n = kept; }
    return st;
}

enum lorac_status lorac_encode(struct lorac_ids *ids, const struct lorac_tokenizer *t,
                               const struct lorac_text *texts, size_t n_texts, unsigned flags,
                               struct lorac_err *err)
{
    struct lorac_encoder e = {.t = t};
    enum lorac_status st = lorac_encoder_encode(ids, &e, texts, n_texts, flags, err);
    release(&e);
    return st;
}
