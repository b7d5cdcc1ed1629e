/* predict_part.c - see predict_part.h. */
#include "recipes/run/predict_part.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"

#include <string.h>

static char *with_end(const char *path, const char *end)
{
    struct lorac_buf b = {0};
    lorac_buf_str(&b, path);
    lorac_buf_str(&b, end);
    if (!b.no_memory) { return b.at; }
    lorac_buf_free(&b);
    return NULL;
}

size_t lorac_part_whole(size_t *end, const char *at, size_t n, char quote)
{
    size_t rows = 0;
    bool quoted = false;
    *end = 0;
    for (size_t i = 0; i < n; i++) {
        quoted = quoted != (quote && at[i] == quote);
        bool pair = at[i] == '\r' && i + 1 < n && at[i + 1] == '\n';
        if (quoted || pair || (at[i] != '\n' && at[i] != '\r')) { continue; }
        rows++;
        *end = i + 1;
    }
    return rows;
}

static enum lorac_status check_id(const struct lorac_part *p, const char id[65],
                                  struct lorac_err *err)
{
    char *was = NULL;
    size_t n = 0;
    if (!lorac_path_exists(p->part) || !lorac_path_exists(p->id)) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: is not there: no prediction into %s was stopped; begin one without "
                          "--resume",
                          p->part, p->out);
    }
    enum lorac_status st = lorac_file_read(&was, &n, p->id, 4096, err);
    if (!st && (n < 64 || memcmp(was, id, 64) != 0)) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: holds answers of another model, adapter, recipe or table than these; "
                        "go on with those, or begin anew with --overwrite",
                        p->part);
    }
    lorac_mem_free(was);
    return st;
}

static enum lorac_status go_on(struct lorac_part *p, const char id[65],
                               const struct lorac_table_format *format, struct lorac_err *err)
{
    struct lorac_map map = {0};
    size_t end = 0;
    enum lorac_status st = check_id(p, id, err);
    if (!st) { st = lorac_map_open(&map, p->part, err); }
    if (st) { return st; }
    size_t rows = lorac_part_whole(&end, (const char *)map.data, map.size, format->quote);
    if (end < map.size) { st = lorac_file_write(p->part, map.data, end, err); }
    lorac_map_close(&map);
    size_t header = format->header ? 1 : 0;
    p->resumed = rows >= header && rows > 0;
    p->rows = p->resumed ? rows - header : 0;
    return st;
}

static enum lorac_status begin(const struct lorac_part *p, const char id[65], bool overwrite,
                               struct lorac_err *err)
{
    if (lorac_path_exists(p->part) && !overwrite) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: holds the rows of a prediction that was stopped; go on with it with "
                          "--resume, or begin anew with --overwrite",
                          p->part);
    }
    enum lorac_status st = lorac_file_remove(p->part, err);
    if (!st) { st = lorac_file_write(p->id, id, 64, err); }
    return st;
}

enum lorac_status lorac_part_open(struct lorac_part *p, const char *out, const char id[65],
                                  const struct lorac_table_format *format, bool resume,
                                  bool overwrite, struct lorac_err *err)
{
    *p = (struct lorac_part){.out = out};
    p->part = with_end(out, ".part");
    p->id = with_end(out, ".part.id");
    if (!p->part || !p->id) {
        lorac_part_close(p);
        return lorac_fail(err, LORAC_ENOMEM, "no memory to predict");
    }
    enum lorac_status st = resume ? go_on(p, id, format, err) : begin(p, id, overwrite, err);
    if (st) { lorac_part_close(p); }
    return st;
}

enum lorac_status lorac_part_add(const struct lorac_part *p, const char *bytes, size_t n,
                                 struct lorac_err *err)
{
    return lorac_file_append(p->part, bytes, n, err);
}

enum lorac_status lorac_part_finish(const struct lorac_part *p, struct lorac_err *err)
{
    enum lorac_status st = lorac_file_copy(p->out, p->part, err);
    return st ? st : lorac_part_drop(p, err);
}

enum lorac_status lorac_part_drop(const struct lorac_part *p, struct lorac_err *err)
{
    enum lorac_status part = lorac_file_remove(p->part, err);
    enum lorac_status id = lorac_file_remove(p->id, part ? NULL : err);
    return part ? part : id;
}

void lorac_part_close(struct lorac_part *p)
{
    lorac_mem_free(p->part);
    lorac_mem_free(p->id);
    *p = (struct lorac_part){0};
}
