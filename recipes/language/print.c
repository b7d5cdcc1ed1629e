/* print.c - values as YAML, the resolved recipe, and how two recipes differ. See recipe.h. */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/language/types.h"

#include <stdio.h>
#include <string.h>

#include <utf8proc.h>

/* What YAML takes as it is between double quotes, line breaks of any kind excluded. */
static bool is_printable(utf8proc_int32_t c)
{
    return (c >= 0x20 && c < 0x7F) || (c >= 0xA0 && c < 0x2028) || (c > 0x2029 && c < 0xD800) ||
           (c >= 0xE000 && c < 0xFFFE && c != 0xFEFF) || c >= 0x10000;
}

void lorac_yaml_quote(struct lorac_buf *buf, const char *text, bool expands)
{
    lorac_buf_str(buf, "\"");
    for (size_t n = strlen(text); n;) {
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t k =
            utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &c);
        k = k > 0 ? k : 1; // recipes hold valid UTF-8
        if (expands && text[0] == '$' && text[1] == '{') { lorac_buf_str(buf, "$"); }
        if (c == '"' || c == '\\') {
            lorac_buf_printf(buf, "\\%c", (char)c);
        } else if (c == '\n') {
            lorac_buf_str(buf, "\\n");
        } else if (c == '\t') {
            lorac_buf_str(buf, "\\t");
        } else if (is_printable(c)) {
            lorac_buf_add(buf, text, (size_t)k);
        } else {
            lorac_buf_printf(buf, "\\u%04x", (unsigned)c);
        }
        text += k;
        n -= (size_t)k;
    }
    lorac_buf_str(buf, "\"");
}

void lorac_key_open_sections(struct lorac_buf *buf, const char *path, const char *last)
{
    size_t same = 0; // bytes of the sections that both paths are in
    for (size_t i = 0; path[i] && path[i] == last[i]; i++) {
        if (path[i] == '.') { same = i + 1; }
    }
    for (const char *dot = strchr(path + same, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t start = same;
        lorac_key_indent(buf, path, start);
        lorac_buf_add(buf, path + start, (size_t)(dot - path) - start);
        lorac_buf_str(buf, ":\n");
        same = (size_t)(dot - path) + 1;
    }
}

void lorac_key_indent(struct lorac_buf *buf, const char *path, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lorac_buf_str(buf, path[i] == '.' ? "  " : "");
    }
}

void lorac_recipe_resolved(struct lorac_buf *buf, const struct lorac_recipe *recipe)
{
    const char *last = "";
    lorac_buf_str(buf, "# a resolved recipe: every key with the value that the run used\n");
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (!key->type->print) { continue; }
        lorac_key_open_sections(buf, key->path, last);
        lorac_key_indent(buf, key->path, strlen(key->path));
        lorac_buf_printf(buf, "%s: ", lorac_key_last(key->path));
        lorac_value_print(buf, recipe, key);
        lorac_buf_str(buf, "\n");
        last = key->path;
    }
}

enum lorac_status lorac_recipe_write(const struct lorac_recipe *recipe, const char *path,
                                     struct lorac_err *err)
{
    struct lorac_buf text = {0};
    struct lorac_buf again = {0};
    struct lorac_recipe *copy = NULL;
    enum lorac_status st = LORAC_OK;
    lorac_recipe_resolved(&text, recipe);
    if (text.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path);
        goto done;
    }
    st = lorac_recipe_parse(&copy, text.at, text.n, path, NULL, NULL, 0, NULL, err);
    if (st) { goto done; }
    lorac_recipe_resolved(&again, copy);
    if (again.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path);
    } else if (again.n != text.n || memcmp(again.at, text.at, text.n) != 0) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: the resolved recipe reads back differently", path);
    } else {
        st = lorac_file_write(path, text.at, text.n, err);
    }
done:
    lorac_recipe_free(copy);
    lorac_buf_free(&again);
    lorac_buf_free(&text);
    return st;
}

void lorac_key_diff(struct lorac_buf *buf, const struct lorac_recipe *a,
                    const struct lorac_recipe *b, const struct lorac_key *key)
{
    struct lorac_buf x = {0};
    struct lorac_buf y = {0};
    lorac_value_print(&x, a, key);
    lorac_value_print(&y, b, key);
    if (x.no_memory || y.no_memory) { // never in silence: "no difference" would be wrong
        buf->no_memory = true;
    } else if (x.n != y.n || (x.n && memcmp(x.at, y.at, x.n) != 0)) {
        lorac_buf_printf(buf, "%s: %s -> %s\n", key->path, x.at, y.at);
    }
    lorac_buf_free(&x);
    lorac_buf_free(&y);
}

void lorac_recipe_diff(struct lorac_buf *buf, const struct lorac_recipe *a,
                       const struct lorac_recipe *b)
{
    for (size_t i = 0; i < lorac_n_keys; i++) {
        lorac_key_diff(buf, a, b, &lorac_keys[i]);
    }
}
