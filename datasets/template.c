/* template.c - text with variables in braces; see datasets.h. */
#include "base/core/buf.h"
#include "base/core/mem.h"
#include "datasets/datasets.h"
#include "datasets/names.h"

#include <stdio.h>
#include <string.h>

struct part {
    size_t at, n;    // a literal: its bytes in the side's text, escapes undone
    size_t variable; // or a variable; NONE for a literal
    size_t optional; // the part is there where this variable's cell is not blank; NONE: always
};
#define NONE SIZE_MAX

struct side {
    struct lorac_buf text;
    struct part parts[LORAC_MAX_PARTS];
    size_t n;
};

struct use {
    bool any;    // stands in the template
    bool always; // and somewhere outside optional parts of its own
};

struct lorac_template {
    struct side prompt, completion;
    struct use *used; // (n_variables)
    size_t n_variables;
};

/* Where parsing stands. */
struct cursor {
    const char *key, *text, *at;
    const struct lorac_template_options *o;
    size_t optional;     // the variable of the optional part that is open, or NONE
    const char *opened;  // where
    const char *doubled; // the first "{{name}}" of a variable: perhaps a mistake for {name}
    size_t n_doubled;
};

static enum lorac_status fail_at(const struct cursor *c, const char *at, const char *what,
                                 struct lorac_err *err)
{
    size_t column = 1;
    for (const char *p = c->text; p < at; p++) {
        column += ((unsigned char)*p & 0xC0) != 0x80;
    }
    return lorac_fail(err, LORAC_EUSER, "%s:%zu: %s", c->key, column, what);
}

static enum lorac_status add_part(struct side *s, const struct cursor *c, struct part part,
                                  struct lorac_err *err)
{
    part.optional = c->optional;
    if (s->n == LORAC_MAX_PARTS) {
        return lorac_fail(err, LORAC_EUSER, "%s: more than %d parts, expected fewer", c->key,
                          LORAC_MAX_PARTS);
    }
    s->parts[s->n++] = part;
    return LORAC_OK;
}

/* The variable of this name, or NONE. */
static size_t find_variable(const struct cursor *c, const char *name, size_t n)
{
    for (size_t v = 0; v < c->o->n_variables; v++) {
        const char *known = c->o->variables[v];
        if (strlen(known) == n && memcmp(known, name, n) == 0) { return v; }
    }
    return NONE;
}

/* "{{name}}" at c->at, as other template languages write a variable. */
static void note_doubled(struct cursor *c)
{
    const char *name = c->at + 2;
    size_t n = strcspn(name, "{}");
    bool closed = name[n] == '}' && name[n + 1] == '}';
    if (c->doubled || !closed || find_variable(c, name, n) == NONE) { return; }
    c->doubled = c->at;
    c->n_doubled = n;
}

/* A literal goes on until a single brace. */
static enum lorac_status parse_literal(struct side *s, struct cursor *c, struct lorac_err *err)
{
    size_t at = s->text.n;
    while (*c->at) {
        bool brace = *c->at == '{' || *c->at == '}';
        if (brace && c->at[1] != *c->at) { break; }
        if (*c->at == '{') { note_doubled(c); }
        lorac_buf_add(&s->text, c->at, 1);
        c->at += brace ? 2 : 1;
    }
    return add_part(s, c, (struct part){.at = at, .n = s->text.n - at, .variable = NONE}, err);
}

/* The name (n bytes) at `name` is of no variable: say which there are, and where it looks like
 * JSON, how to write that. */
static enum lorac_status fail_unknown(const struct cursor *c, const char *name, size_t n,
                                      struct lorac_err *err)
{
    char shown[64];
    struct lorac_buf text = {0};
    char *copy = lorac_mem_string(name, n);
    if (!copy) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", c->key); }
    lorac_buf_printf(&text, "no variable '%s'", lorac_visible(shown, sizeof shown, name, n));
    lorac_names_hint(&text, copy, c->o->variables, c->o->n_variables);
    if (strpbrk(copy, "\"':,[]%|")) {
        lorac_buf_str(&text, " (a brace that is text, as of JSON, is written '{{' or '}}')");
    }
    lorac_buf_str(&text, c->o->hint ? c->o->hint : "");
    enum lorac_status st = fail_at(c, name, text.at ? text.at : "no such variable", err);
    lorac_buf_free(&text);
    lorac_mem_free(copy);
    return st;
}

/* {?name}: an optional part begins. */
static enum lorac_status open_part(struct lorac_template *t, struct cursor *c, const char *name,
                                   size_t n, struct lorac_err *err)
{
    size_t v = find_variable(c, name + 1, n - 1);
    if (v == NONE) { return fail_unknown(c, name + 1, n - 1, err); }
    if (c->optional != NONE) {
        return fail_at(c, c->at, "an optional part in another one, expected its end first", err);
    }
    t->used[v].any = true;
    c->optional = v;
    c->opened = c->at;
    c->at = name + n + 1;
    return LORAC_OK;
}

/* {/name}: it ends. */
static enum lorac_status close_part(struct cursor *c, const char *name, size_t n,
                                    struct lorac_err *err)
{
    char text[320];
    char shown[64];
    lorac_visible(shown, sizeof shown, name + 1, n - 1);
    if (c->optional == NONE) {
        (void)snprintf(text, sizeof text,
                       "'{/%s}' ends no optional part, expected '{?%s}' before it", shown, shown);
        return fail_at(c, c->at, text, err);
    }
    if (find_variable(c, name + 1, n - 1) != c->optional) {
        char open[64];
        const char *known = c->o->variables[c->optional];
        (void)snprintf(text, sizeof text, "'{/%s}', expected '{/%s}', whose part is open", shown,
                       lorac_visible(open, sizeof open, known, strlen(known)));
        return fail_at(c, c->at, text, err);
    }
    c->optional = NONE;
    c->at = name + n + 1;
    return LORAC_OK;
}

static enum lorac_status parse_braces(struct lorac_template *t, struct side *s, struct cursor *c,
                                      struct lorac_err *err)
{
    const char *name = c->at + 1;
    size_t n = strcspn(name, "{}\n");
    if (name[n] != '}') {
        return fail_at(c, c->at, "'{' without '}' (write '{{' for a brace)", err);
    }
    if (n == 0) {
        return fail_at(
            c, c->at, "'{}' names no variable, expected {name} (write '{{}}' for two braces)", err);
    }
    if (*name == '?') { return open_part(t, c, name, n, err); }
    if (*name == '/') { return close_part(c, name, n, err); }
    size_t v = find_variable(c, name, n);
    if (v == NONE) { return fail_unknown(c, name, n, err); }
    t->used[v].any = true;
    t->used[v].always = t->used[v].always || c->optional != v;
    c->at = name + n + 1;
    return add_part(s, c, (struct part){.variable = v}, err);
}

static enum lorac_status parse_side(struct lorac_template *t, struct side *s, struct cursor *c,
                                    struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    c->at = c->text;
    c->optional = NONE;
    while (!st && *c->at) {
        if (*c->at == '{' && c->at[1] != '{') {
            st = parse_braces(t, s, c, err);
        } else if (*c->at == '}' && c->at[1] != '}') {
            st = fail_at(c, c->at, "'}' without '{' (write '}}' for a brace)", err);
        } else {
            st = parse_literal(s, c, err);
        }
    }
    if (!st && c->optional != NONE) {
        st = fail_at(c, c->opened, "an optional part that never ends, expected '{/name}'", err);
    }
    if (!st && s->text.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", c->key); }
    return st;
}

/* "{{text}}" is the text "{text}". Where the template does not use the variable otherwise, that is
 * not what was meant. */
static enum lorac_status check_doubled(const struct lorac_template *t, const struct cursor *c,
                                       struct lorac_err *err)
{
    if (!c->doubled) { return LORAC_OK; }
    size_t v = find_variable(c, c->doubled + 2, c->n_doubled);
    if (t->used[v].any) { return LORAC_OK; }
    char text[320];
    char shown[64];
    lorac_visible(shown, sizeof shown, c->doubled + 2, c->n_doubled);
    (void)snprintf(text, sizeof text,
                   "'{{%s}}' is the text '{%s}', not its cell, which the template does not use; "
                   "expected '{%s}'",
                   shown, shown, shown);
    return fail_at(c, c->doubled, text, err);
}

enum lorac_status lorac_template_parse(struct lorac_template **out,
                                       const struct lorac_template_options *o,
                                       struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct cursor prompt = {.key = "template.prompt", .text = o->prompt ? o->prompt : "", .o = o};
    struct cursor completion = {.key = o->pair ? "template.pair" : "template.completion",
                                .text = o->completion ? o->completion : "",
                                .o = o};
    struct lorac_template *t = lorac_mem_new(1, sizeof *t);
    if (t) { t->used = lorac_mem_new(o->n_variables, sizeof *t->used); }
    if (!t || !t->used) {
        st = lorac_fail(err, LORAC_ENOMEM, "template: no memory");
        goto done;
    }
    t->n_variables = o->n_variables;
    st = parse_side(t, &t->prompt, &prompt, err);
    if (!st) { st = parse_side(t, &t->completion, &completion, err); }
    if (!st) { st = check_doubled(t, &prompt, err); }
    if (!st) { st = check_doubled(t, &completion, err); }
    if (!st && t->prompt.n + t->completion.n == 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "template: prompt and completion are both empty, "
                        "expected one of them");
    }
done:
    if (st) {
        lorac_template_free(t);
        t = NULL;
    }
    *out = t;
    return st;
}

void lorac_template_free(struct lorac_template *t)
{
    if (!t) { return; }
    lorac_buf_free(&t->prompt.text);
    lorac_buf_free(&t->completion.text);
    lorac_mem_free(t->used);
    lorac_mem_free(t);
}

bool lorac_template_uses(const struct lorac_template *t, size_t variable)
{
    return variable < t->n_variables && t->used[variable].any;
}

bool lorac_template_is_optional(const struct lorac_template *t, size_t variable)
{
    return lorac_template_uses(t, variable) && !t->used[variable].always;
}

static bool side_uses(const struct side *s, size_t variable)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->parts[i].variable == variable || s->parts[i].optional == variable) { return true; }
    }
    return false;
}

bool lorac_template_prompt_uses(const struct lorac_template *t, size_t variable)
{
    return side_uses(&t->prompt, variable);
}

bool lorac_template_completion_uses(const struct lorac_template *t, size_t variable)
{
    return side_uses(&t->completion, variable);
}

bool lorac_template_has_prompt(const struct lorac_template *t)
{
    return t->prompt.n > 0;
}

bool lorac_template_has_completion(const struct lorac_template *t)
{
    return t->completion.n > 0;
}

static size_t render(struct lorac_text *texts, const struct side *s,
                     const struct lorac_cell *values)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct part *p = &s->parts[i];
        if (p->optional != NONE && lorac_cell_is_blank(&values[p->optional])) { continue; }
        if (p->variable == NONE) {
            texts[n++] = (struct lorac_text){.at = s->text.at + p->at, .n = p->n, .special = true};
        } else {
            const struct lorac_cell *v = &values[p->variable];
            texts[n++] = (struct lorac_text){.at = v->at, .n = v->n, .special = false};
        }
    }
    return n;
}

size_t lorac_template_prompt(struct lorac_text *texts, const struct lorac_template *t,
                             const struct lorac_cell *values)
{
    return render(texts, &t->prompt, values);
}

size_t lorac_template_completion(struct lorac_text *texts, const struct lorac_template *t,
                                 const struct lorac_cell *values)
{
    return render(texts, &t->completion, values);
}

/* ---- names ---- */

enum lorac_status lorac_template_variables(char ***names, size_t *n, const char *text,
                                           struct lorac_err *err)
{
    size_t most = 0;
    size_t bytes = strlen(text) + 1;
    for (const char *c = text; *c; c++) {
        most += *c == '{';
    }
    *n = 0;
    *names = lorac_mem_new(1, most * sizeof **names + bytes);
    if (!*names) { return lorac_fail(err, LORAC_ENOMEM, "template: no memory"); }
    char *copy = memcpy(*names + most, text, bytes);
    for (char *c = copy; *c; c++) {
        if ((*c == '{' || *c == '}') && c[1] == *c) {
            c++;
            continue;
        }
        char *end = *c == '{' ? strchr(c, '}') : NULL;
        if (!end) { continue; }
        char *name = c + 1;
        bool known = *name == '/'; // the end of an optional part, named at its beginning
        *end = '\0';
        name += *name == '?';
        for (size_t i = 0; i < *n; i++) {
            known = known || strcmp((*names)[i], name) == 0;
        }
        if (!known) { (*names)[(*n)++] = name; }
        c = end;
    }
    return LORAC_OK;
}
