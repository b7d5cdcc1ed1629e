/* table.c - tables, however they are written; see datasets.h. */
#include "datasets/table.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "datasets/names.h"

#include <assert.h>
#include <string.h>

/* ---- the ways in which they are written ---- */

static const struct lorac_table_kind *const kinds[] = {
    [LORAC_TABLE_CSV] = &lorac_table_csv,
    [LORAC_TABLE_JSONL] = &lorac_table_jsonl,
};

const char *lorac_table_kind_name(size_t kind)
{
    return kind < sizeof kinds / sizeof *kinds ? kinds[kind]->name : NULL;
}

/* ---- reading a row ---- */

void lorac_row_free(struct lorac_row *row)
{
    struct lorac_row_memory *m = row->memory;
    if (m) {
        if (m->parses) { csv_free(&m->parser); }
        lorac_buf_free(&m->text);
        lorac_mem_free(m->cells);
        lorac_mem_free(m->nested);
        lorac_mem_free(m);
    }
    *row = (struct lorac_row){0};
}

/* A row was read, and with it, where it does not follow the one before, the pages around it that
 * the kernel maps at once (Linux's fault_around_bytes). */
static void let_go(struct lorac_row_memory *m, const struct lorac_table *t, size_t at, size_t end)
{
    enum { AROUND = 64 << 10 };
    m->touched += end - at + (at == m->last ? 0 : AROUND);
    m->last = end;
    if (m->touched < LORAC_MAP_READ) { return; }
    lorac_map_forget(&t->map);
    m->touched = 0;
}

enum lorac_status lorac_table_row(struct lorac_row *row, const struct lorac_table *t, size_t i,
                                  struct lorac_err *err)
{
    assert(i < t->rows);
    row->cells = NULL;
    row->nested = NULL;
    row->n = 0;
    if (!row->memory) { row->memory = lorac_mem_new(1, sizeof *row->memory); }
    struct lorac_row_memory *m = row->memory;
    if (!m) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for a row", t->file); }
    size_t at = lorac_table_offset(t, i);
    size_t end = lorac_table_offset(t, i + 1);
    m->n = 0;
    m->no_memory = m->text.no_memory = false;
    lorac_buf_clear(&m->text);
    enum lorac_status st = t->kind->read(m, t, at, end, err);
    let_go(m, t, at, end);
    row->line = lorac_table_line(t, i);
    if (st == LORAC_ENOMEM) {
        lorac_row_free(row); // a parser that stopped halfway is not used again
        return st;
    }
    if (st || m->n != t->columns) {
        uint64_t line = row->line;
        lorac_row_free(row);
        return lorac_fail(err, LORAC_EIO, "%s:%llu: the file changed while it was read", t->file,
                          (unsigned long long)line);
    }
    row->cells = m->cells;
    row->nested = t->kind->nests ? m->nested : NULL;
    row->n = m->n;
    return LORAC_OK;
}

/* ---- what a table says of itself ---- */

const char *lorac_table_file(const struct lorac_table *t)
{
    return t->file;
}

size_t lorac_table_rows(const struct lorac_table *t)
{
    return t->rows;
}

size_t lorac_table_columns(const struct lorac_table *t)
{
    return t->columns;
}

const struct lorac_tally *lorac_table_blank_lines(const struct lorac_table *t)
{
    return &t->blank_lines;
}

const struct lorac_tally *lorac_table_long_cells(const struct lorac_table *t)
{
    return &t->long_cells;
}

size_t lorac_table_memory(const struct lorac_table *t)
{
    return t->cap_rows * sizeof *t->row_at + t->cap_jumps * sizeof *t->jumps +
           t->cap_carry * sizeof *t->carry;
}

void lorac_tally_add(struct lorac_tally *t, uint64_t line)
{
    if (t->n < LORAC_TALLY_LINES) { t->line[t->n] = line; }
    t->n++;
}

const char *lorac_table_column_name(const struct lorac_table *t, size_t c)
{
    assert(c < t->columns);
    return t->names[c];
}

size_t lorac_table_offset(const struct lorac_table *t, size_t i)
{
    uint64_t high = 0;
    if (i == t->rows) { return t->size; }
    while (high < t->n_carry && t->carry[high] <= i) {
        high++; // one for each 4 GiB
    }
    return (size_t)(high << 32 | t->row_at[i]);
}

uint64_t lorac_table_line(const struct lorac_table *t, size_t i)
{
    assert(i < t->rows && t->n_jumps > 0 && t->jumps[0].row == 0);
    size_t lo = 0; // the last jump at or before row i
    size_t hi = t->n_jumps;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->jumps[mid].row <= i) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return t->jumps[lo].line + (i - t->jumps[lo].row);
}

const char *lorac_table_delimiter_hint(const struct lorac_table *t)
{
    return t->kind->hint ? t->kind->hint(t) : "";
}

/* The number that `name` is, or 0. */
static size_t number_of(const char *name)
{
    size_t number = 0;
    for (const char *c = name; *c; c++) {
        if (*c < '0' || *c > '9') { return 0; }
        if (number <= LORAC_MAX_COLUMNS) { number = number * 10 + (size_t)(*c - '0'); }
    }
    return number;
}

/* Columns `first` and, where it is another, `last` have the name that was asked for. */
static enum lorac_status fail_ambiguous(const struct lorac_table *t, size_t first, size_t last,
                                        struct lorac_err *err)
{
    char name[64];
    unsigned long long at[2];
    const char *given = t->names[first];
    bool plain = *given && !strpbrk(given, " :,{}[]#&*!|>'\"%@`?-") && strlen(given) < 40;
    lorac_table_place(at, t, last);
    lorac_visible(name, sizeof name, given, strlen(given));
    if (first == last) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s:%llu:%llu: column %zu has no name; choose it by its number, as in "
                          "data.columns: {text: %zu}",
                          t->file, at[0], at[1], first + 1, first + 1);
    }
    return lorac_fail(err, LORAC_EUSER,
                      "%s:%llu:%llu: columns %zu and %zu are both named '%s'; choose one by its "
                      "number, as in data.columns: {%s: %zu}",
                      t->file, at[0], at[1], first + 1, last + 1, name, plain ? given : "text",
                      last + 1);
}

enum lorac_status lorac_table_column_find(size_t *out, const struct lorac_table *t,
                                          const char *name, struct lorac_err *err)
{
    size_t number = number_of(name);
    size_t n = 0; // columns of that name
    size_t first = 0;
    size_t last = 0;
    *out = 0;
    for (size_t c = 0; c < t->columns; c++) {
        if (strcmp(t->names[c], name) != 0) { continue; }
        first = n++ ? first : c;
        last = c;
    }
    if (n == 1 && *name) {
        *out = first;
        return LORAC_OK;
    }
    bool is_number = number >= 1 && number <= t->columns;
    if (is_number && (n == 0 || strcmp(t->names[number - 1], name) == 0)) {
        *out = number - 1;
        return LORAC_OK;
    }
    if (n > 0) { return fail_ambiguous(t, first, *name ? last : first, err); }
    struct lorac_buf hint = {0};
    char shown[64];
    lorac_names_hint(&hint, name, (const char *const *)t->names, t->columns);
    lorac_fail(err, LORAC_EUSER, "%s: no column '%s'%s%s", t->file,
               lorac_visible(shown, sizeof shown, name, strlen(name)), hint.at ? hint.at : "",
               lorac_table_delimiter_hint(t));
    lorac_buf_free(&hint);
    return LORAC_EUSER;
}

/* ---- the index ---- */

enum lorac_status lorac_table_no_memory(const struct lorac_table *t, struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for the index of rows", t->file);
}

bool lorac_table_add_name(struct lorac_table *t, const char *name, size_t n)
{
    size_t cap = t->n_names;
    if ((t->n_names & (t->n_names - 1)) == 0) { // full at each power of two
        char **names = lorac_mem_new(cap ? 2 * cap : 1, sizeof *names);
        if (!names) { return false; }
        if (cap) { memcpy(names, t->names, cap * sizeof *names); }
        lorac_mem_free(t->names);
        t->names = names;
    }
    t->names[t->n_names] = lorac_mem_string(name, n);
    if (!t->names[t->n_names]) { return false; }
    t->n_names++;
    return true;
}

enum lorac_status lorac_table_add_row(struct lorac_table *t, size_t at, uint64_t line,
                                      struct lorac_err *err)
{
    if (t->rows >= UINT32_MAX - 1) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: more than %u rows, expected fewer", t->file,
                          UINT32_MAX - 1);
    }
    uint32_t *rows = lorac_mem_grow(t->row_at, t->rows, &t->cap_rows, t->rows + 1, sizeof *rows);
    if (!rows) { return lorac_table_no_memory(t, err); }
    t->row_at = rows;
    while (t->n_carry < (uint64_t)at >> 32) {
        uint32_t *carry =
            lorac_mem_grow(t->carry, t->n_carry, &t->cap_carry, t->n_carry + 1, sizeof *carry);
        if (!carry) { return lorac_table_no_memory(t, err); }
        t->carry = carry;
        t->carry[t->n_carry++] = (uint32_t)t->rows;
    }
    const struct lorac_line_jump *last = t->n_jumps ? &t->jumps[t->n_jumps - 1] : NULL;
    if (!last || last->line + (t->rows - last->row) != line) {
        struct lorac_line_jump *jumps =
            lorac_mem_grow(t->jumps, t->n_jumps, &t->cap_jumps, t->n_jumps + 1, sizeof *jumps);
        if (!jumps) { return lorac_table_no_memory(t, err); }
        t->jumps = jumps;
        t->jumps[t->n_jumps++] = (struct lorac_line_jump){.row = t->rows, .line = line};
    }
    t->row_at[t->rows++] = (uint32_t)at;
    return LORAC_OK;
}

/* ---- opening ---- */

void lorac_table_close(struct lorac_table *t)
{
    if (!t) { return; }
    for (size_t c = 0; t->names && c < t->n_names; c++) {
        lorac_mem_free(t->names[c]);
    }
    lorac_mem_free(t->names);
    lorac_mem_free(t->row_at);
    lorac_mem_free(t->carry);
    lorac_mem_free(t->jumps);
    lorac_mem_free(t->file);
    lorac_map_close(&t->map);
    lorac_mem_free(t);
}

/* NULL: *st says why. */
static struct lorac_table *new_table(enum lorac_status *st, const char *file,
                                     const struct lorac_table_format *format, struct lorac_err *err)
{
    static const struct lorac_table_format csv = {.delimiter = ',', .quote = '"', .header = true};
    struct lorac_table *t = lorac_mem_new(1, sizeof *t);
    if (t) { t->file = lorac_mem_string(file, strlen(file)); }
    if (!t || !t->file) {
        lorac_table_close(t);
        *st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for a table", file);
        return NULL;
    }
    t->format = format ? *format : csv;
    t->kind = kinds[t->format.kind];
    return t;
}

enum lorac_status lorac_table_parse(struct lorac_table **out, const char *bytes, size_t n,
                                    const char *file, const struct lorac_table_format *format,
                                    struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_table *t = new_table(&st, file, format, err);
    if (!t) { goto done; }
    st = t->kind->open(t, bytes, n, err);
done:
    if (st) {
        lorac_table_close(t);
        t = NULL;
    }
    *out = t;
    return st;
}

enum lorac_status lorac_table_open(struct lorac_table **out, const char *path,
                                   const struct lorac_table_format *format, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_table *t = new_table(&st, path, format, err);
    if (!t) { goto done; }
    st = lorac_map_open(&t->map, path, err);
    if (st) { goto done; }
    st = t->kind->open(t, (const char *)t->map.data, t->map.size, err);
done:
    if (st) {
        lorac_table_close(t);
        t = NULL;
    }
    *out = t;
    return st;
}
