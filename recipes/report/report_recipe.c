/* report_recipe.c - the recipe of a run and how it differs from the defaults, and its sample
 * answers; see report_parts.h. */
#include "recipes/report/report_parts.h"

#include "base/core/mem.h"
#include "recipes/language/reading.h"
#include "recipes/run/samples.h"

#include <string.h>

/* ---- the recipe ---- */

/* A recipe that says only what it must: all else in it is a default. */
static enum lorac_status open_defaults(struct lorac_recipe **out, struct lorac_err *err)
{
    static const char text[] = "recipe: 1\nmodel: {path: m}\ndata: {train: t}\n"
                               "template: {prompt: '{a}', completion: '{b}'}\n";
    return lorac_recipe_parse(out, text, sizeof text - 1, "defaults", "/", NULL, 0, NULL, err);
}

/* What has no default, or says where and how it is called: always shown, by itself. */
static bool has_no_default(const char *key)
{
    static const char *const own[] = {
        "recipe",     "name",      "model.path",      "data.train",
        "data.valid", "data.test", "template.prompt", "template.completion",
        "output.dir"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (strcmp(own[i], key) == 0) { return true; }
    }
    return false;
}

static void add_row(struct lorac_buf *b, const char *key, const char *value, const char *otherwise)
{
    lorac_buf_str(b, "<tr>");
    lorac_page_cell(b, "key", key);
    lorac_page_cell(b, "text", value);
    lorac_page_cell(b, "text soft", otherwise);
    lorac_buf_str(b, "</tr>\n");
}

static void add_rows(struct lorac_buf *b, const struct lorac_record *r,
                     const struct lorac_recipe *defaults, bool own)
{
    struct lorac_buf otherwise = {0};
    for (size_t i = 0; i < r->n_values; i++) {
        const struct lorac_record_value *x = &r->values[i];
        bool is_own = has_no_default(x->key);
        if (is_own != own || strcmp(x->key, "recipe") == 0 || strcmp(x->key, "name") == 0) {
            continue;
        }
        lorac_buf_clear(&otherwise);
        if (!is_own) { lorac_value_print(&otherwise, defaults, lorac_key_find(x->key)); }
        const char *usual = otherwise.at && otherwise.n ? otherwise.at : "";
        if (is_own ? strcmp(x->value, "null") != 0 : strcmp(x->value, usual) != 0) {
            add_row(b, x->key, x->value, usual);
        }
        b->no_memory = b->no_memory || otherwise.no_memory;
    }
    lorac_buf_free(&otherwise);
}

enum lorac_status lorac_report_recipe(struct lorac_buf *b, const struct lorac_record *r,
                                      struct lorac_err *err)
{
    struct lorac_recipe *defaults = NULL;
    struct lorac_buf whole = {0};
    enum lorac_status st = open_defaults(&defaults, err);
    if (st) { return st; }
    lorac_page_section(b, "Recipe", "What it must say, and what differs from the defaults.");
    lorac_buf_str(b, "<div class=\"wide recipe\"><table>\n<thead><tr><th>key</th><th>value</th>"
                     "<th>default</th></tr></thead>\n<tbody>\n");
    add_rows(b, r, defaults, true);
    add_rows(b, r, defaults, false);
    lorac_buf_str(b, "</tbody></table></div>\n<details><summary>The whole recipe, resolved"
                     "</summary>\n<pre>");
    lorac_recipe_resolved(&whole, r->recipe);
    if (whole.at) { lorac_html_bytes(b, whole.at, whole.n); }
    lorac_buf_str(b, "</pre></details>\n");
    lorac_page_section_end(b);
    b->no_memory = b->no_memory || whole.no_memory;
    lorac_buf_free(&whole);
    lorac_recipe_free(defaults);
    return LORAC_OK;
}

/* ---- sample answers ---- */

enum { ROWS = 6, ANSWERS = 8 }; // shown at the most, and of each

/* Do the texts agree but for white space around them? */
static bool same_text(const char *a, const char *b)
{
    static const char space[] = " \t\r\n";
    a += strspn(a, space);
    b += strspn(b, space);
    size_t n = strlen(a);
    size_t m = strlen(b);
    while (n && strchr(space, a[n - 1])) {
        n--;
    }
    while (m && strchr(space, b[m - 1])) {
        m--;
    }
    return n == m && memcmp(a, b, n) == 0;
}

/* Which of its evaluation's answers is each: they come in the order of the rows. */
static size_t place_of(const struct lorac_samples *s, size_t i)
{
    size_t k = 0;
    for (; k < i && s->at[i - 1 - k].step == s->at[i].step; k++) {}
    return k;
}

/* The answers to one row: those of the first and the last evaluation, and some between. */
static void add_answers(struct lorac_buf *b, const struct lorac_samples *s, size_t place)
{
    char step[32];
    size_t n = 0;
    size_t k = 0;
    for (size_t i = 0; i < s->n; i++) {
        n += place_of(s, i) == place;
    }
    size_t every = n <= ANSWERS ? 1 : (n + ANSWERS - 3) / (ANSWERS - 1);
    lorac_html(b,
               "<div class=\"sample\"><div class=\"text\">%s</div>\n<div class=\"wide\"><table>\n"
               "<tbody>\n<tr><td class=\"soft\">wanted</td><td class=\"text\">%s</td></tr>\n",
               s->at[place].prompt, s->at[place].want);
    for (size_t i = 0; i < s->n; i++) {
        if (place_of(s, i) != place) { continue; }
        bool shown = k % every == 0 || k + 1 == n;
        k++;
        if (!shown) { continue; }
        bool right = same_text(s->at[i].got, s->at[i].want);
        lorac_buf_printf(b, "<tr><td class=\"soft\">step&nbsp;%s</td>",
                         lorac_page_count(step, s->at[i].step));
        lorac_page_cell(b, right ? "text right" : "text wrong", s->at[i].got);
        lorac_buf_str(b, "</tr>\n");
    }
    lorac_buf_str(b, "</tbody></table></div></div>\n");
}

enum lorac_status lorac_report_samples(struct lorac_buf *b, const struct lorac_record *r,
                                       struct lorac_err *err)
{
    struct lorac_samples s = {0};
    enum lorac_status st = lorac_samples_read(&s, r->dir, err);
    if (!st && s.n) {
        lorac_page_section(b, "Sample answers",
                           "Greedy answers to the first validation rows, as training went on.");
        for (size_t i = 0; i < s.n && i < ROWS && s.at[i].step == s.at[0].step; i++) {
            add_answers(b, &s, i);
        }
        lorac_page_section_end(b);
    }
    lorac_samples_free(&s);
    return st;
}
