/* shots.c - see shots.h. */
#include "tools/shots.h"

#include <string.h>

static enum lorac_status unescape(struct lorac_buf *out, const char *text, struct lorac_err *err)
{
    static const char letters[] = "nt\\";
    static const char signs[] = "\n\t\\";
    for (const char *c = text; *c; c++) {
        if (*c != '\\') {
            lorac_buf_add(out, c, 1);
            continue;
        }
        const char *known = *++c ? strchr(letters, *c) : NULL;
        if (!known) {
            return lorac_fail(err, LORAC_EUSER,
                              "--shot-separator '%s': expected \\n, \\t or \\\\ where a backslash "
                              "stands",
                              text);
        }
        lorac_buf_add(out, &signs[known - letters], 1);
    }
    return out->no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory") : LORAC_OK;
}

enum lorac_status shots_read(struct lorac_fewshot_options *o, struct lorac_buf *separator,
                             const struct args *a, struct lorac_err *err)
{
    const char *given = args_text(a, "--shot-separator", NULL);
    enum lorac_status st = args_count(&o->n, a, "--shots", err);
    if (st || !given) { return st; }
    if (o->n == 0) {
        return lorac_fail(err, LORAC_EUSER, "--shot-separator separates shots: it needs --shots");
    }
    if (!*given) { return lorac_fail(err, LORAC_EUSER, "--shot-separator needs a text, found ''"); }
    st = unescape(separator, given, err);
    o->separator = separator->at;
    return st;
}

enum lorac_status split_find(const struct lorac_data **data, unsigned *parts, const char *split,
                             const struct lorac_job *j, struct lorac_err *err)
{
    const struct {
        const char *name;
        unsigned part;
    } splits[] = {{"train", LORAC_JOB_TRAIN}, {"valid", LORAC_JOB_VALID}, {"test", LORAC_JOB_TEST}};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(split, splits[i].name) != 0) { continue; }
        *parts = splits[i].part;
        if (!j) { return LORAC_OK; }
        *data = i == 0 ? &j->train : i == 1 ? &j->valid : &j->test;
        if ((*data)->set) { return LORAC_OK; }
        return lorac_fail(err, LORAC_EUSER, "the recipe names no data.%s to evaluate on", split);
    }
    return lorac_fail(err, LORAC_EUSER, "--split must be train, valid or test, found '%s'", split);
}
