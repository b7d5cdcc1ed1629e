/* text.c - files of text as documents, and holding some of them out; see datasets.h. */
#include "base/core/mem.h"
#include "datasets/dataset.h"
#include "datasets/foreign.h"

#include <math.h>
#include <string.h>
#include <utf8proc.h>

static enum lorac_status no_memory(const char *path, struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for its documents", path);
}

/* ---- bytes ---- */

static enum lorac_status check_utf8(const struct lorac_text_file *f, struct lorac_err *err)
{
    const unsigned char *data = f->map.data;
    size_t n = f->map.size;
    size_t line = 1;
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t bytes = 1;
        if (data[i] >= 0x80) {
            size_t left = n - i < 4 ? n - i : 4;
            bytes = utf8proc_iterate(data + i, (utf8proc_ssize_t)left, &c);
        }
        if (bytes <= 0) {
            return lorac_fail(
                err, LORAC_EFORMAT,
                "%s:%zu: byte 0x%02X at offset %zu is not UTF-8, expected UTF-8 (is the "
                "file Latin-1? iconv -f LATIN1 -t UTF-8 makes UTF-8 of it)",
                f->path, line, data[i], i);
        }
        line += data[i] == '\n';
        i += (size_t)bytes;
    }
    return LORAC_OK;
}

static bool is_blank(const struct lorac_text_file *f, size_t begin, size_t n)
{
    const struct lorac_cell cell = {(const char *)f->map.data + begin, n};
    return lorac_cell_is_blank(&cell);
}

/* Where `what` (n_what > 0 bytes) stands first in data[from,end); `end` where it does not. */
static size_t find(const unsigned char *data, size_t from, size_t end, const char *what,
                   size_t n_what)
{
    while (end - from >= n_what) {
        const unsigned char *first = memchr(data + from, what[0], end - from - n_what + 1);
        if (!first) { break; }
        if (memcmp(first, what, n_what) == 0) { return (size_t)(first - data); }
        from = (size_t)(first - data) + 1;
    }
    return end;
}

/* ---- documents ---- */

static enum lorac_status add(struct lorac_texts *t, const struct lorac_document *d,
                             struct lorac_err *err)
{
    struct lorac_document *at = lorac_mem_grow(t->at, t->n, &t->cap, t->n + 1, sizeof *at);
    if (!at) { return no_memory(t->files[d->file].path, err); }
    t->at = at;
    at[t->n++] = *d;
    return LORAC_OK;
}

static enum lorac_status add_file(struct lorac_texts *t, const char *path, const char *separator,
                                  struct lorac_err *err)
{
    static const unsigned char mark[] = {0xEF, 0xBB, 0xBF}; // of UTF-8's byte order
    struct lorac_text_file *f = &t->files[t->n_files++];
    size_t before = t->n;
    f->path = lorac_mem_string(path, strlen(path));
    if (!f->path) { return no_memory(path, err); }
    enum lorac_status st = lorac_map_open(&f->map, path, err);
    if (!st) { st = lorac_foreign_text((const char *)f->map.data, f->map.size, path, err); }
    if (!st) { st = check_utf8(f, err); }
    if (st) { return st; }
    size_t n = separator ? strlen(separator) : 0;
    size_t size = f->map.size;
    bool marked = size >= sizeof mark && memcmp(f->map.data, mark, sizeof mark) == 0;
    for (size_t from = marked ? sizeof mark : 0; from < size && !st;) {
        size_t end = n ? find(f->map.data, from, size, separator, n) : size;
        struct lorac_document d = {.file = t->n_files - 1,
                                   .begin = from,
                                   .n = end - from,
                                   .number = t->n_documents,
                                   .ends = true};
        from = end + n;
        t->separators += end < size;
        if (is_blank(f, d.begin, d.n)) {
            t->blank++;
            continue;
        }
        st = add(t, &d, err);
        t->n_documents++;
    }
    if (!st && t->n == before) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: %s, expected text", path,
                        size == 0 ? "is empty"
                        : n       ? "holds nothing but separators and white space"
                                  : "holds nothing but white space");
    }
    return st;
}

enum lorac_status lorac_texts_open(struct lorac_texts **out, const char *const *files,
                                   size_t n_files, const char *separator, struct lorac_err *err)
{
    *out = NULL;
    if (separator && !separator[0]) {
        return lorac_fail(err, LORAC_EUSER, "separator: empty, expected text between documents");
    }
    struct lorac_texts *t = lorac_mem_new(1, sizeof *t);
    if (!t) { return lorac_fail(err, LORAC_ENOMEM, "no memory for texts"); }
    enum lorac_status st = LORAC_OK;
    t->files = lorac_mem_new(n_files, sizeof *t->files);
    if (!t->files) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for %zu texts", n_files); }
    for (size_t i = 0; i < n_files && !st; i++) {
        st = add_file(t, files[i], separator, err);
    }
    if (st) {
        lorac_texts_close(t);
        t = NULL;
    }
    *out = t;
    return st;
}

size_t lorac_texts_separators(const struct lorac_texts *t)
{
    return t->separators;
}

void lorac_texts_close(struct lorac_texts *t)
{
    if (!t) { return; }
    for (size_t i = 0; t->files && i < t->n_files; i++) {
        lorac_map_close(&t->files[i].map);
        lorac_mem_free(t->files[i].path);
    }
    lorac_mem_free(t->files);
    lorac_mem_free(t->at);
    lorac_mem_free(t);
}

/* ---- holding out ---- */

static enum lorac_status hold_documents(struct lorac_texts *t, double fraction, uint64_t seed,
                                        struct lorac_err *err)
{
    struct lorac_split split = {0};
    enum lorac_status st = lorac_split_make(&split, t->n, fraction, NULL, seed, err);
    for (size_t i = 0; i < split.n_part; i++) {
        t->at[split.part[i]].held_out = true;
    }
    lorac_split_free(&split);
    return st;
}

/* Bytes of a document before its last `fraction`: up to the next line, else the next character. */
static size_t cut_of(const struct lorac_texts *t, const struct lorac_document *d, double fraction)
{
    const unsigned char *data = t->files[d->file].map.data + d->begin;
    size_t cut = d->n - (size_t)((double)d->n * fraction);
    size_t line = find(data, cut, d->n, "\n", 1);
    if (line + 1 < d->n) { return line + 1; }
    while (cut < d->n && (data[cut] & 0xC0) == 0x80) {
        cut++;
    }
    return cut;
}

static enum lorac_status hold_ends(struct lorac_texts *t, double fraction, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    size_t n = t->n;
    for (size_t i = 0; i < n && !st; i++) {
        struct lorac_document *d = &t->at[i];
        struct lorac_document tail = *d;
        const struct lorac_text_file *f = &t->files[d->file];
        size_t cut = cut_of(t, d, fraction);
        tail.begin += cut;
        tail.n -= cut;
        tail.held_out = true;
        if (is_blank(f, d->begin, cut) || is_blank(f, tail.begin, tail.n)) { continue; }
        d->n = cut;
        d->ends = false;
        st = add(t, &tail, err);
    }
    if (!st && t->n == n) {
        st = lorac_fail(err, LORAC_EUSER,
                        "split: %g of %zu documents leaves a side empty, expected text on both",
                        fraction, n);
    }
    return st;
}

enum lorac_status lorac_texts_split(struct lorac_texts *t, double fraction, uint64_t seed,
                                    struct lorac_err *err)
{
    double share = floor((double)t->n * fraction + 0.5);
    return share < LORAC_MIN_HELD_OUT ? hold_ends(t, fraction, err)
                                      : hold_documents(t, fraction, seed, err);
}
