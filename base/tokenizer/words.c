/* words.c - text files to distinct pieces with counts, in one pass over the mapped bytes.
 */
#include "base/core/mem.h"
#include "base/tokenizer/train_impl.h"

#include <string.h>

enum { PROGRESS_BYTES = 1 << 18 };

void lorac_words_release(struct lorac_words *w)
{
    lorac_vocab_release(&w->texts);
    lorac_mem_free(w->count);
    *w = (struct lorac_words){0};
}

/* The behaviour Isolated of pre.c, without a copy of the text. */
enum lorac_status lorac_each_piece(const struct lorac_pattern *pattern, struct lorac_matcher *m,
                                   const char *s, size_t n, lorac_piece_taker *take, void *who,
                                   struct lorac_err *err)
{
    struct lorac_cursor cursor = {0};
    enum lorac_status st = LORAC_OK;
    for (size_t done = 0; done < n && !st;) {
        size_t begin = 0;
        size_t end = 0;
        st = lorac_pattern_next(&begin, &end, &cursor, pattern, m, s, n, err);
        if (st) { break; }
        if (begin > n) { begin = end = n; }
        if (begin > done) { st = take(who, s + done, begin - done, err); }
        if (!st && end > begin) { st = take(who, s + begin, end - begin, err); }
        done = end;
    }
    return st;
}

static enum lorac_status add_word(struct lorac_words *w, const char *s, size_t n,
                                  struct lorac_err *err)
{
    const size_t id = w->texts.count;
    if (w->texts.used + n + 1 > TRAIN_MAX_DISTINCT) {
        return lorac_fail(
            err, LORAC_EUSER,
            "the distinct pieces of the text hold more than %d MiB: take less text, or "
            "a pattern that cuts it into shorter pieces",
            TRAIN_MAX_DISTINCT >> 20);
    }
    uint64_t *count = lorac_mem_grow(w->count, id, &w->cap, id + 1, sizeof *count);
    if (!count) { return lorac_no_memory(err); }
    w->count = count;
    enum lorac_status st = lorac_vocab_reserve(&w->texts, 1, id + 1, n, err);
    if (st) { return st; }
    lorac_vocab_put(&w->texts, (int32_t)id, s, n);
    count[id] = 1;
    return LORAC_OK;
}

enum lorac_status lorac_cuts_init(struct lorac_cuts *cuts, const char *const *texts, size_t n,
                                  const char *separator, struct lorac_err *err)
{
    const size_t all = n + (separator ? 1 : 0);
    cuts->at = lorac_mem_new(all, sizeof *cuts->at);
    if (!cuts->at) { return lorac_no_memory(err); }
    for (; cuts->n < all; cuts->n++) {
        const char *text = cuts->n < n ? texts[cuts->n] : separator;
        struct lorac_pattern *p = &cuts->at[cuts->n];
        p->n = strlen(text);
        p->literal = lorac_mem_string(text, p->n);
        if (!p->literal) { return lorac_no_memory(err); }
    }
    return LORAC_OK;
}

void lorac_cuts_release(struct lorac_cuts *cuts)
{
    for (size_t i = 0; i < cuts->n; i++) {
        lorac_pattern_release(&cuts->at[i]);
    }
    lorac_mem_free(cuts->at);
    *cuts = (struct lorac_cuts){0};
}

/* The files being read; s and n are the present one. */
struct reading {
    struct lorac_words *w;
    struct lorac_tokenizer_report *report;
    const struct lorac_tokenizer_options *o;
    const struct lorac_cuts *cuts;
    const struct lorac_pattern *pattern;
    struct lorac_matcher matcher;
    struct lorac_map *maps; // (o->n_files)
    size_t all, before;     // bytes of all files, of those before this one
    size_t shown;           // bytes when progress was shown last
    const char *s;
    size_t n;
    size_t *hit; // (cuts->n) where each cut stands next; beyond n: nowhere
};

static enum lorac_status count_piece(void *who, const char *s, size_t n, struct lorac_err *err)
{
    struct reading *r = who;
    struct lorac_words *w = r->w;
    const size_t done = r->before + (size_t)(s - r->s);
    if (r->o->progress && done - r->shown >= PROGRESS_BYTES) {
        r->shown = done;
        r->o->progress(r->o->who, "reading", (double)done / (double)r->all);
    }
    if (n > TRAIN_MAX_PIECE) {
        return lorac_fail(err, LORAC_EUSER,
                          "the pattern leaves a piece of %zu bytes at offset %zu, at most %d are "
                          "accepted: it must cut the text into pieces such as words",
                          n, (size_t)(s - r->s), TRAIN_MAX_PIECE);
    }
    w->pieces++;
    const int32_t id = lorac_vocab_find(&w->texts, s, n);
    if (id < 0) { return add_word(w, s, n, err); }
    w->count[id]++;
    return LORAC_OK;
}

/* Where the next cut at or behind `from` stands: the first, of those the longest; begin = n:
 * nowhere. */
static enum lorac_status next_cut(size_t *begin, size_t *end, struct reading *r, size_t from,
                                  struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    *begin = *end = r->n;
    for (size_t i = 0; i < r->cuts->n && !st; i++) {
        const struct lorac_pattern *p = &r->cuts->at[i];
        struct lorac_cursor cursor = {.from = from};
        size_t stop = 0;
        if (from == 0 || r->hit[i] < from) { // otherwise it is still ahead
            st = lorac_pattern_next(&r->hit[i], &stop, &cursor, p, NULL, r->s, r->n, err);
        }
        const bool longer = r->hit[i] == *begin && r->hit[i] + p->n > *end;
        if (r->hit[i] < *begin || longer) {
            *begin = r->hit[i];
            *end = r->hit[i] + p->n;
        }
    }
    return st;
}

static enum lorac_status read_documents(struct reading *r, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t from = 0, begin = 0, end = 0; from < r->n && !st; from = end) {
        st = next_cut(&begin, &end, r, from, err);
        if (st || begin == from) { continue; }
        r->report->documents++;
        r->report->bytes += begin - from;
        st = lorac_each_piece(r->pattern, &r->matcher, r->s + from, begin - from, count_piece, r,
                              err);
    }
    return st;
}

static enum lorac_status read_file(struct reading *r, const struct lorac_map *map,
                                   struct lorac_err *err)
{
    r->s = (const char *)map->data;
    r->n = map->size;
    const size_t bad = lorac_utf8_check(r->s, r->n);
    if (bad < r->n) {
        return lorac_fail(err, LORAC_EFORMAT, "is not UTF-8: byte 0x%02X at offset %zu",
                          map->data[bad], bad);
    }
    return read_documents(r, err);
}

/* All files are there and hold something before the first one is read. */
static enum lorac_status open_files(struct reading *r, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < r->o->n_files && !st; i++) {
        st = lorac_map_open(&r->maps[i], r->o->files[i], err);
        if (!st && r->maps[i].size == 0) {
            st = lorac_fail(err, LORAC_EUSER, "%s: is empty, expected text to learn from",
                            r->o->files[i]);
        }
        r->all += r->maps[i].size;
    }
    return st;
}

enum lorac_status lorac_words_read(struct lorac_words *w, struct lorac_tokenizer_report *report,
                                   const struct lorac_tokenizer_options *o,
                                   const struct lorac_cuts *cuts,
                                   const struct lorac_pattern *pattern, struct lorac_err *err)
{
    struct reading r = {.w = w, .report = report, .o = o, .cuts = cuts, .pattern = pattern};
    enum lorac_status st = LORAC_OK;
    r.maps = lorac_mem_new(o->n_files, sizeof *r.maps);
    r.hit = lorac_mem_new(cuts->n, sizeof *r.hit);
    st = r.maps && r.hit ? open_files(&r, err) : lorac_no_memory(err);
    for (size_t i = 0; i < o->n_files && !st; i++) {
        st = read_file(&r, &r.maps[i], err);
        if (st) { lorac_err_prefix(err, "%s: ", o->files[i]); }
        r.before += r.maps[i].size;
    }
    if (!st && w->pieces == 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "the files hold nothing but separators and special tokens");
    }
    for (size_t i = 0; r.maps && i < o->n_files; i++) {
        lorac_map_close(&r.maps[i]);
    }
    lorac_matcher_release(&r.matcher);
    lorac_mem_free(r.maps);
    lorac_mem_free(r.hit);
    return st;
}
