/* samples.c - see samples.h. */
#include "recipes/run/samples.h"

#include "base/core/arena.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/language/reading.h"
#include "recipes/run/predict_part.h"

#include <string.h>

enum { FILE_LIMIT = 256 << 20 };
enum column { STEP, PROMPT, WANT, GOT, N_COLUMNS };
static const char header[] = "step,prompt,want,got\n";

/* The file as far as its rows are whole, and as a table. */
struct file {
    char *text;
    size_t end;                // of the last whole row
    struct lorac_table *table; // NULL: there is no row
};

static void close_file(struct file *f)
{
    lorac_table_close(f->table);
    lorac_mem_free(f->text);
    *f = (struct file){0};
}

static enum lorac_status open_file(struct file *f, const char *path, struct lorac_err *err)
{
    size_t n = 0;
    const size_t front = sizeof header - 1;
    *f = (struct file){0};
    if (!lorac_path_exists(path)) { return LORAC_OK; }
    enum lorac_status st = lorac_file_read(&f->text, &n, path, FILE_LIMIT, err);
    if (st) { return st; }
    if (memcmp(f->text, header, n < front ? n : front) != 0) {
        return lorac_fail(err, LORAC_EFORMAT, "%s:1: does not begin with lorac's header of samples",
                          path);
    }
    if (lorac_part_whole(&f->end, f->text, n, '"') < 2) { return LORAC_OK; }
    return lorac_table_parse(&f->table, f->text, f->end, path, NULL, err);
}

static enum lorac_status read_step(size_t *out, const struct lorac_row *row, const char *path,
                                   struct lorac_err *err)
{
    uint64_t step = 0;
    char shown[60];
    const struct lorac_cell *cell = &row->cells[STEP];
    if (lorac_whole_parse(&step, cell->at, cell->n, UINT32_MAX)) {
        *out = (size_t)step;
        return LORAC_OK;
    }
    return lorac_fail(err, LORAC_EFORMAT, "%s:%llu: step: must be a whole number, found '%s'", path,
                      (unsigned long long)row->line,
                      lorac_visible(shown, sizeof shown, cell->at, cell->n));
}

enum lorac_status lorac_samples_begin(const struct lorac_run_paths *p, size_t step,
                                      struct lorac_err *err)
{
    struct file f = {0};
    struct lorac_row row = {0};
    enum lorac_status st = open_file(&f, p->samples, err);
    size_t n = f.table ? lorac_table_rows(f.table) : 0;
    size_t kept = 0;
    for (size_t at = 0; kept < n && !st; kept++) {
        st = lorac_table_row(&row, f.table, kept, err);
        if (!st) { st = read_step(&at, &row, p->samples, err); }
        if (st || at > step) { break; }
    }
    if (!st && !kept) {
        st = lorac_file_remove(p->samples, err);
    } else if (!st) {
        const struct lorac_raw last = lorac_table_raw_row(f.table, kept - 1);
        size_t end = (size_t)(last.at - f.text) + last.n + last.n_end;
        st = lorac_file_write(p->samples, f.text, end, err);
    }
    lorac_row_free(&row);
    close_file(&f);
    return st;
}

void lorac_samples_row(struct lorac_buf *rows, size_t step, const struct lorac_buf text[3])
{
    lorac_buf_printf(rows, "%zu", step);
    for (size_t k = 0; k < 3; k++) {
        lorac_buf_str(rows, ",");
        lorac_buf_csv(rows, text[k].at ? text[k].at : "", text[k].n);
    }
    lorac_buf_str(rows, "\n");
}

enum lorac_status lorac_samples_add(const struct lorac_run_paths *p, const struct lorac_buf *rows,
                                    struct lorac_err *err)
{
    struct lorac_buf b = {0};
    if (!lorac_path_exists(p->samples)) { lorac_buf_str(&b, header); }
    if (!rows->no_memory) { lorac_buf_add(&b, rows->at, rows->n); }
    enum lorac_status st = b.no_memory || rows->no_memory
                               ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory", p->samples)
                               : lorac_file_append(p->samples, b.at, b.n, err);
    lorac_buf_free(&b);
    return st;
}

/* ---- reading them back ---- */

static enum lorac_status read_rows(struct lorac_samples *out, const struct lorac_table *t,
                                   struct lorac_err *err)
{
    const char *path = lorac_table_file(t);
    struct lorac_row row = {0};
    size_t n = lorac_table_rows(t);
    enum lorac_status st = LORAC_OK;
    out->arena = lorac_arena_new();
    out->at = out->arena ? lorac_arena_take(out->arena, n, sizeof *out->at) : NULL;
    if (!out->at) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path); }
    for (; out->n < n; out->n++) {
        struct lorac_sample *s = &out->at[out->n];
        const char **text[N_COLUMNS] = {NULL, &s->prompt, &s->want, &s->got};
        st = lorac_table_row(&row, t, out->n, err);
        if (!st) { st = read_step(&s->step, &row, path, err); }
        for (size_t c = PROMPT; c < N_COLUMNS && !st; c++) {
            *text[c] = lorac_arena_string(out->arena, row.cells[c].at, row.cells[c].n);
            if (!*text[c]) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path); }
        }
        if (st) { break; }
    }
    lorac_row_free(&row);
    return st;
}

enum lorac_status lorac_samples_read(struct lorac_samples *out, const char *dir,
                                     struct lorac_err *err)
{
    struct file f = {0};
    *out = (struct lorac_samples){0};
    char path[LORAC_PATH];
    enum lorac_status st = open_file(&f, lorac_path_in(path, dir, "samples.csv"), err);
    if (!st && f.table) { st = read_rows(out, f.table, err); }
    close_file(&f);
    if (st) { lorac_samples_free(out); }
    return st;
}

void lorac_samples_free(struct lorac_samples *s)
{
    lorac_arena_free(s->arena);
    *s = (struct lorac_samples){0};
}
