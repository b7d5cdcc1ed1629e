/* value.c - one function per type of key: from a node to a field of the recipe. See reading.h. */
#include "base/core/mem.h"
#include "lora/pattern.h"
#include "recipes/language/reading.h"
#include "recipes/language/suggest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WORDS = 128 };

/* One value on its way into the recipe. */
struct value {
    struct lorac_reading *rd;
    const struct lorac_key *key;
    const struct lorac_node *node;
    void *field; // of rd->recipe
};

/* "KEY: must be EXPECTED, found ..." at `node`. */
static enum lorac_status wrong(const struct value *v, const struct lorac_node *node,
                               const char *expected)
{
    char words[WORDS];
    return lorac_reading_complain(v->rd, node, v->key, "must be %s, found %s", expected,
                                  lorac_node_words(words, sizeof words, node));
}

static bool is_scalar(const struct lorac_node *node)
{
    return node->kind == LORAC_NODE_SCALAR;
}

static size_t n_children(const struct lorac_node *node)
{
    size_t n = 0;
    for (const struct lorac_node *c = node->first; c; c = c->next) {
        n++;
    }
    return n;
}

/* Room for `n` elements in the recipe's arena, at least one. */
static enum lorac_status take(void **out, const struct value *v, size_t n, size_t size)
{
    *out = lorac_arena_take(v->rd->recipe->arena, n ? n : 1, size);
    return *out ? LORAC_OK : lorac_reading_no_memory(v->rd);
}

static enum lorac_status read_text_at(char **out, const struct value *v,
                                      const struct lorac_node *node)
{
    *out = NULL;
    if (node->kind == LORAC_NODE_BAD) { return LORAC_OK; }
    if (!is_scalar(node)) { return wrong(v, node, "text"); }
    if (node->plain && !node->text[0]) { return wrong(v, node, "text ('' for empty text)"); }
    return lorac_expand_text(out, v->rd, node, v->key);
}

static enum lorac_status read_text(const struct value *v)
{
    char **text = v->field;
    enum lorac_status st = read_text_at(text, v, v->node);
    if (st || !*text || strcmp(v->key->path, "name") != 0) { return st; }
    bool bad = !**text || strchr(*text, '/') || strcmp(*text, ".") == 0 || strcmp(*text, "..") == 0;
    return bad ? wrong(v, v->node, "a name that a folder can have") : LORAC_OK;
}

static enum lorac_status read_path(const struct value *v)
{
    if (!is_scalar(v->node)) { return wrong(v, v->node, "a path"); }
    return lorac_expand_path(v->field, v->rd, v->node, v->key);
}

static enum lorac_status read_paths_at(struct lorac_recipe_list *list, const struct value *v,
                                       const char *expected)
{
    const struct lorac_node *first = is_scalar(v->node) ? v->node : v->node->first;
    void *at = NULL;
    if (!first || v->node->kind == LORAC_NODE_MAP) { return wrong(v, v->node, expected); }
    enum lorac_status st = take(&at, v, n_children(v->node), sizeof(char *));
    list->at = at;
    for (const struct lorac_node *c = first; c && !st; c = c == v->node ? NULL : c->next) {
        if (c->kind == LORAC_NODE_BAD) { continue; }
        if (!is_scalar(c)) { return wrong(v, c, "a path"); }
        st = lorac_expand_path(&list->at[list->n++], v->rd, c, v->key);
    }
    return st;
}

static enum lorac_status read_paths(const struct value *v)
{
    return read_paths_at(v->field, v, "a path or a list of at least one");
}

static enum lorac_status read_char(const struct value *v)
{
    const char *s = is_scalar(v->node) ? v->node->text : "";
    s = strcmp(s, "\\t") ? s : "\t"; // '\t', or --set: nothing else could be meant
    bool may_be_empty = v->key->min == 0.0;
    bool one = s[0] && !s[1] && (unsigned char)s[0] < 0x80 && s[0] != '\n' && s[0] != '\r';
    bool empty = may_be_empty && is_scalar(v->node) && !s[0];
    const char *expected = may_be_empty ? "one ASCII character, or '' for none"
                                        : "one ASCII character (a tab is \"\\t\")";
    if (!one && !empty) { return wrong(v, v->node, expected); }
    *(char *)v->field = s[0];
    return LORAC_OK;
}

static enum lorac_status read_seed(const struct value *v)
{
    const char *s = is_scalar(v->node) ? v->node->text : "";
    if (!lorac_whole_parse(v->field, s, strlen(s), UINT64_MAX)) {
        return wrong(v, v->node, "a whole number from 0 to 18446744073709551615");
    }
    return LORAC_OK;
}

static enum lorac_status read_whole_at(size_t *out, const struct value *v,
                                       const struct lorac_node *node, double min, double max,
                                       const char *or_else)
{
    const char *s = is_scalar(node) ? node->text : "";
    uint64_t x = 0;
    if (lorac_whole_parse(&x, s, strlen(s), (uint64_t)max) && x >= (uint64_t)min) {
        *out = (size_t)x;
        return LORAC_OK;
    }
    char expected[WORDS];
    if (min < max) {
        (void)lorac_snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f%s", min,
                             max, or_else);
    } else {
        (void)lorac_snprintf(expected, sizeof expected, "%.0f", min);
    }
    return wrong(v, node, expected);
}

static enum lorac_status read_count(const struct value *v)
{
    return read_whole_at(v->field, v, v->node, v->key->min, v->key->max, "");
}

static enum lorac_status read_count_or_auto(const struct value *v)
{
    if (is_scalar(v->node) && strcmp(v->node->text, "auto") == 0) {
        *(size_t *)v->field = 0;
        return LORAC_OK;
    }
    return read_whole_at(v->field, v, v->node, v->key->min, v->key->max, " or auto");
}

/* A number of the key's range, its open ends included in the message. */
static enum lorac_status read_number_at(double *out, const struct value *v,
                                        const struct lorac_node *node)
{
    const struct lorac_key *k = v->key;
    double x = 0.0;
    enum lorac_number kind =
        is_scalar(node) ? lorac_number_parse(&x, node->text) : LORAC_NUMBER_NONE;
    bool above = k->flags & LORAC_KEY_ABOVE_MIN;
    bool below = k->flags & LORAC_KEY_BELOW_MAX;
    bool in_range = (above ? x > k->min : x >= k->min) && (below ? x < k->max : x <= k->max);
    if (kind == LORAC_NUMBER_OK && in_range) {
        *out = x;
        return LORAC_OK;
    }
    if (kind == LORAC_NUMBER_TOO_SMALL) { return wrong(v, node, "a number that is not lost as 0"); }
    char expected[WORDS];
    (void)lorac_snprintf(expected, sizeof expected, "a number %s %g and %s %g",
                         above ? "above" : "from", k->min, below ? "below" : "up to", k->max);
    return wrong(v, node, expected);
}

static enum lorac_status read_number(const struct value *v)
{
    return read_number_at(v->field, v, v->node);
}

static enum lorac_status read_betas(const struct value *v)
{
    double *betas = v->field;
    if (v->node->kind != LORAC_NODE_LIST || n_children(v->node) != 2) {
        return wrong(v, v->node, "a list of two numbers");
    }
    enum lorac_status st = read_number_at(&betas[0], v, v->node->first);
    return st ? st : read_number_at(&betas[1], v, v->node->first->next);
}

static enum lorac_status read_bool(const struct value *v)
{
    static const char *const yes[] = {"yes",  "Yes",  "YES", "on", "On", "ON",
                                      "True", "TRUE", "y",   "Y",  "1"};
    static const char *const no[] = {"no",    "No",    "NO", "off", "Off", "OFF",
                                     "False", "FALSE", "n",  "N",   "0"};
    const char *s = is_scalar(v->node) ? v->node->text : "";
    bool is_true = strcmp(s, "true") == 0;
    if (is_true || strcmp(s, "false") == 0) {
        *(bool *)v->field = is_true;
        return LORAC_OK;
    }
    const char *hint = NULL;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcmp(s, yes[i]) == 0) { hint = "true"; }
        if (strcmp(s, no[i]) == 0) { hint = "false"; }
    }
    if (!hint) { return wrong(v, v->node, "true or false"); }
    return lorac_reading_complain(
        v->rd, v->node, v->key, "must be true or false, found '%s' (did you mean '%s'?)", s, hint);
}

static bool is_word_of(const char *word, const char *choices)
{
    char choice[64];
    for (size_t i = 0; lorac_key_choice(choice, sizeof choice, choices, i); i++) {
        if (strcmp(choice, word) == 0) { return true; }
    }
    return false;
}

/* The position of a word in the key's choices; *found false where an error was reported. */
static enum lorac_status read_choice_at(unsigned *out, bool *found, const struct value *v,
                                        const struct lorac_node *node)
{
    const char *choices = v->key->choices;
    char word[64];
    const char *s = is_scalar(node) ? node->text : "";
    *found = false;
    if (node->kind == LORAC_NODE_BAD) { return LORAC_OK; }
    if (is_word_of(s, v->key->later)) {
        return lorac_reading_complain(v->rd, node, v->key, "'%s' is not supported by this version",
                                      s);
    }
    for (unsigned i = 0; lorac_key_choice(word, sizeof word, choices, i); i++) {
        if (strcmp(word, s) == 0) {
            *out = i;
            *found = true;
            return LORAC_OK;
        }
    }
    char expected[256] = "";
    size_t n = 0;
    for (size_t i = 0; lorac_key_choice(word, sizeof word, choices, i); i++) {
        if (is_word_of(word, v->key->later)) { continue; }
        (void)snprintf(expected + n, sizeof expected - n, "%s'%s'", n ? " or " : "", word);
        n = strlen(expected);
    }
    const char *near = lorac_suggest_choice(word, sizeof word, s, choices);
    char words[WORDS];
    return lorac_reading_complain(v->rd, node, v->key, "must be %s, found %s%s%s%s", expected,
                                  lorac_node_words(words, sizeof words, node),
                                  near ? " (did you mean '" : "", near ? near : "",
                                  near ? "'?)" : "");
}

static enum lorac_status read_choice(const struct value *v)
{
    unsigned i = 0;
    bool found = false;
    enum lorac_status st = read_choice_at(&i, &found, v, v->node);
    if (found) { memcpy(v->field, &i, sizeof i); } // an enum, which has the size of unsigned
    return st;
}
_Static_assert(sizeof(enum lorac_recipe_compute) == sizeof(unsigned), "read_choice copies it");

static enum lorac_status read_choice_or_none(const struct value *v)
{
    unsigned i = 0;
    bool found = false;
    enum lorac_status st = read_choice_at(&i, &found, v, v->node);
    if (found) { *(unsigned *)v->field = i + 1; }
    return st;
}

static enum lorac_status read_choices(const struct value *v)
{
    unsigned bits = 0;
    enum lorac_status st = LORAC_OK;
    if (v->node->kind != LORAC_NODE_LIST) { return wrong(v, v->node, "a list of words"); }
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        unsigned i = 0;
        bool found = false;
        st = read_choice_at(&i, &found, v, c);
        if (found && bits >> i & 1u) {
            st = lorac_reading_complain(v->rd, c, v->key, "'%s' is listed twice", c->text);
        }
        if (found) { bits |= 1u << i; }
    }
    *(unsigned *)v->field = bits;
    return st;
}

static enum lorac_status read_list_at(struct lorac_recipe_list *list, const struct value *v,
                                      const struct lorac_node *node)
{
    void *at = NULL;
    if (node->kind != LORAC_NODE_LIST) { return wrong(v, node, "a list"); }
    enum lorac_status st = take(&at, v, n_children(node), sizeof(char *));
    list->at = at;
    for (const struct lorac_node *c = node->first; c && !st; c = c->next) {
        st = read_text_at(&list->at[list->n++], v, c);
    }
    return st;
}

static enum lorac_status read_list(const struct value *v)
{
    return read_list_at(v->field, v, v->node);
}

static enum lorac_status read_map(const struct value *v)
{
    struct lorac_recipe_map *map = v->field;
    void *at = NULL;
    if (v->node->kind != LORAC_NODE_MAP) { return wrong(v, v->node, "a map"); }
    enum lorac_status st = take(&at, v, n_children(v->node), sizeof *map->at);
    map->at = at;
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        struct lorac_recipe_pair *pair = &map->at[map->n++];
        pair->key = lorac_arena_string(v->rd->recipe->arena, c->key, strlen(c->key));
        st = pair->key ? read_text_at(&pair->value, v, c) : lorac_reading_no_memory(v->rd);
    }
    return st;
}

/* A pattern as the adapter's placing will compile it (lora/pattern.h). */
static enum lorac_status read_regex(char **out, const struct value *v,
                                    const struct lorac_node *node, enum lorac_pattern_kind kind)
{
    struct lorac_pattern *pattern = NULL;
    struct lorac_err why = {0};
    enum lorac_status st = read_text_at(out, v, node);
    if (st || !*out) { return st; }
    st = lorac_pattern_new(&pattern, *out, kind, &why);
    lorac_pattern_free(pattern);
    if (st == LORAC_ENOMEM) { return lorac_reading_no_memory(v->rd); }
    return st ? lorac_reading_complain(v->rd, node, v->key, "%s", why.text) : LORAC_OK;
}

static enum lorac_status read_targets(const struct value *v)
{
    struct lorac_recipe_targets *t = v->field;
    if (v->node->kind == LORAC_NODE_LIST) {
        t->kind = LORAC_RECIPE_TARGETS_LIST;
        if (!v->node->first) { return wrong(v, v->node, "a list of at least one suffix"); }
        return read_list_at(&t->names, v, v->node);
    }
    if (!is_scalar(v->node) || !v->node->text[0]) {
        return wrong(v, v->node, "all-linear, a list of name suffixes, or a regex");
    }
    if (strcmp(v->node->text, "all-linear") == 0) {
        t->kind = LORAC_RECIPE_TARGETS_ALL_LINEAR;
        return LORAC_OK;
    }
    t->kind = LORAC_RECIPE_TARGETS_REGEX;
    return read_regex(&t->regex, v, v->node, LORAC_PATTERN_FULL);
}

static enum lorac_status read_modules(const struct value *v)
{
    struct lorac_recipe_modules *m = v->field;
    if (v->node->kind == LORAC_NODE_LIST) { return read_list_at(&m->names, v, v->node); }
    if (!is_scalar(v->node) || strcmp(v->node->text, "all") != 0) {
        return wrong(v, v->node, "all, or a list of name ends");
    }
    m->all = true;
    return LORAC_OK;
}

static enum lorac_status read_layer_list(struct lorac_recipe_layers *l, const struct value *v)
{
    void *at = NULL;
    l->kind = LORAC_RECIPE_LAYERS_LIST;
    if (!v->node->first) { return wrong(v, v->node, "a list of at least one layer"); }
    enum lorac_status st = take(&at, v, n_children(v->node), sizeof *l->at);
    l->at = at;
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        size_t layer = SIZE_MAX;
        st = read_whole_at(&layer, v, c, 0, 65535, "");
        for (size_t i = 0; i < l->n && !st && layer != SIZE_MAX; i++) {
            if (l->at[i] == layer) {
                st = lorac_reading_complain(v->rd, c, v->key, "layer %zu is listed twice", layer);
            }
        }
        l->at[l->n++] = layer;
    }
    return st;
}

static enum lorac_status read_layers(const struct value *v)
{
    struct lorac_recipe_layers *l = v->field;
    const char *s = is_scalar(v->node) ? v->node->text : "";
    uint64_t a = 0;
    uint64_t b = 0;
    if (v->node->kind == LORAC_NODE_LIST) { return read_layer_list(l, v); }
    if (strcmp(s, "all") == 0) {
        l->kind = LORAC_RECIPE_LAYERS_ALL;
        return LORAC_OK;
    }
    if (strncmp(s, "last:", 5) == 0 && lorac_whole_parse(&a, s + 5, strlen(s + 5), 65536) && a) {
        l->kind = LORAC_RECIPE_LAYERS_LAST;
        l->last = (size_t)a;
        return LORAC_OK;
    }
    size_t n = strcspn(s, "-");
    if (s[n] == '-' && lorac_whole_parse(&a, s, n, 65535) &&
        lorac_whole_parse(&b, s + n + 1, strlen(s + n + 1), 65535) && a <= b) {
        l->kind = LORAC_RECIPE_LAYERS_RANGE;
        l->first = (size_t)a;
        l->to = (size_t)b;
        return LORAC_OK;
    }
    return wrong(v, v->node, "all, last:6, [0, 1, 11] or 4-11");
}

static enum lorac_status read_override(struct lorac_recipe_override *o, const struct value *v,
                                       const struct lorac_node *node)
{
    enum lorac_status st = LORAC_OK;
    if (node->kind != LORAC_NODE_MAP) { return wrong(v, node, "a map {match, rank, alpha}"); }
    bool matches = false;
    for (const struct lorac_node *c = node->first; c && !st; c = c->next) {
        struct lorac_key alpha = *lorac_key_find("adapter.alpha");
        alpha.path = v->key->path;
        struct value inner = {.rd = v->rd, .key = &alpha, .node = c};
        if (strcmp(c->key, "match") == 0) {
            matches = true;
            st = read_regex(&o->match, v, c, LORAC_PATTERN_TAIL);
        } else if (strcmp(c->key, "rank") == 0) {
            st = read_whole_at(&o->rank, v, c, v->key->min, v->key->max, "");
        } else if (strcmp(c->key, "alpha") == 0) {
            st = read_number_at(&o->alpha, &inner, c);
        } else {
            st = lorac_complain(v->rd->errors, c->source, c->key_line, c->key_column, v->rd->err,
                                "%s: unknown key '%.80s', an entry has match, rank and alpha",
                                v->key->path, c->key);
        }
    }
    if (!st && !matches) { st = lorac_reading_complain(v->rd, node, v->key, "'match' is missing"); }
    if (!st && matches && node->first && !node->first->next) {
        st = lorac_reading_complain(v->rd, node, v->key, "neither 'rank' nor 'alpha' is given");
    }
    return st;
}

static enum lorac_status read_overrides(const struct value *v)
{
    struct lorac_recipe_overrides *list = v->field;
    void *at = NULL;
    if (v->node->kind != LORAC_NODE_LIST) {
        return wrong(v, v->node, "a list of {match, rank, alpha}");
    }
    enum lorac_status st = take(&at, v, n_children(v->node), sizeof *list->at);
    list->at = at;
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        st = read_override(&list->at[list->n++], v, c);
    }
    return st;
}

static enum lorac_status read_split(const struct value *v)
{
    struct lorac_recipe_split *s = v->field;
    if (v->node->kind != LORAC_NODE_MAP) {
        s->kind = LORAC_RECIPE_SPLIT_PATH;
        return read_paths_at(&s->paths, v,
                             "a path, a list of at least one, or {split: 0.1, stratify: COLUMN}");
    }
    s->kind = LORAC_RECIPE_SPLIT_FRACTION;
    enum lorac_status st = LORAC_OK;
    bool split = false;
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        if (strcmp(c->key, "split") == 0) {
            split = true;
            bool fits = is_scalar(c) &&
                        lorac_number_parse(&s->fraction, c->text) == LORAC_NUMBER_OK &&
                        s->fraction > 0.0 && s->fraction < 1.0;
            if (!fits) { st = wrong(v, c, "a share above 0 and below 1"); }
        } else if (strcmp(c->key, "stratify") == 0) {
            if (!lorac_node_is_null(c)) { st = read_text_at(&s->stratify, v, c); }
        } else {
            st = lorac_complain(v->rd->errors, c->source, c->key_line, c->key_column, v->rd->err,
                                "%s: unknown key '%.80s', expected split and stratify",
                                v->key->path, c->key);
        }
    }
    if (!st && !split) {
        st = lorac_reading_complain(v->rd, v->node, v->key, "'split' is missing");
    }
    return st;
}

static enum lorac_status read_amount(const struct value *v)
{
    struct lorac_recipe_amount *a = v->field;
    const char *s = is_scalar(v->node) ? v->node->text : "";
    size_t n = strlen(s);
    uint64_t steps = 0;
    if (lorac_whole_parse(&steps, s, n, 1000000000000)) {
        a->steps = (size_t)steps;
        return LORAC_OK;
    }
    char number[40];
    if (n > 1 && n < sizeof number && s[n - 1] == '%') {
        memcpy(number, s, n - 1);
        number[n - 1] = '\0';
        a->is_percent = true;
        if (lorac_number_parse(&a->percent, number) == LORAC_NUMBER_OK && a->percent >= 0.0 &&
            a->percent <= 100.0) {
            return LORAC_OK;
        }
    }
    return wrong(v, v->node, "a number of steps (100) or a percentage (5%)");
}

static enum lorac_status read_interval(const struct value *v)
{
    struct lorac_recipe_interval *i = v->field;
    const char *s = is_scalar(v->node) ? v->node->text : "";
    size_t n = strcspn(s, " ");
    const char *unit = s[n] ? s + n + 1 : "steps";
    uint64_t steps = 0;
    char number[40];
    if (strcmp(s, "end") == 0) {
        i->unit = LORAC_RECIPE_EVERY_END;
        return LORAC_OK;
    }
    if ((strcmp(unit, "steps") == 0 || strcmp(unit, "step") == 0) &&
        lorac_whole_parse(&steps, s, n, 1000000000000) && steps) {
        i->unit = LORAC_RECIPE_EVERY_STEPS;
        i->steps = (size_t)steps;
        return LORAC_OK;
    }
    if ((strcmp(unit, "epoch") == 0 || strcmp(unit, "epochs") == 0) && n < sizeof number) {
        memcpy(number, s, n);
        number[n] = '\0';
        i->unit = LORAC_RECIPE_EVERY_EPOCHS;
        if (lorac_number_parse(&i->epochs, number) == LORAC_NUMBER_OK && i->epochs > 0.0) {
            return LORAC_OK;
        }
    }
    return wrong(v, v->node, "steps (100), epochs (0.25 epoch) or end");
}

enum lorac_status lorac_value_read(struct lorac_reading *rd, size_t i)
{
    static enum lorac_status (*const readers[])(const struct value *) = {
        [LORAC_KEY_TEXT] = read_text,
        [LORAC_KEY_PATH] = read_path,
        [LORAC_KEY_PATHS] = read_paths,
        [LORAC_KEY_CHAR] = read_char,
        [LORAC_KEY_SEED] = read_seed,
        [LORAC_KEY_COUNT] = read_count,
        [LORAC_KEY_COUNT_OR_AUTO] = read_count_or_auto,
        [LORAC_KEY_NUMBER] = read_number,
        [LORAC_KEY_BETAS] = read_betas,
        [LORAC_KEY_BOOL] = read_bool,
        [LORAC_KEY_CHOICE] = read_choice,
        [LORAC_KEY_CHOICE_OR_NONE] = read_choice_or_none,
        [LORAC_KEY_CHOICES] = read_choices,
        [LORAC_KEY_LIST] = read_list,
        [LORAC_KEY_MAP] = read_map,
        [LORAC_KEY_TARGETS] = read_targets,
        [LORAC_KEY_MODULES] = read_modules,
        [LORAC_KEY_LAYERS] = read_layers,
        [LORAC_KEY_OVERRIDES] = read_overrides,
        [LORAC_KEY_SPLIT] = read_split,
        [LORAC_KEY_AMOUNT] = read_amount,
        [LORAC_KEY_INTERVAL] = read_interval,
    };
    const struct lorac_key *key = &lorac_keys[i];
    const struct lorac_node *node = rd->nodes[i];
    if (!node || node->kind == LORAC_NODE_BAD || key->type == LORAC_KEY_EXTENDS) {
        return LORAC_OK;
    }
    struct value v = {
        .rd = rd, .key = key, .node = node, .field = (char *)rd->recipe + key->offset};
    bool may_be_null = !key->otherwise || (key->flags & LORAC_KEY_NULLABLE);
    if (lorac_node_is_null(node)) {
        if (may_be_null && !(key->flags & LORAC_KEY_REQUIRED)) { return LORAC_OK; } // zero: none
        return lorac_reading_complain(rd, node, key, "has no value%s%s",
                                      key->otherwise ? "; leave the key out for its default " : "",
                                      key->otherwise ? key->otherwise : "");
    }
    rd->busy[i] = true;
    enum lorac_status st = readers[key->type](&v);
    rd->busy[i] = false;
    return st;
}
