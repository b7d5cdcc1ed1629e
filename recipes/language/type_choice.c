/* type_choice.c - true or false, a word of some, several of them. See types.h. */
#include "base/core/json.h"
#include "recipes/language/suggest.h"
#include "recipes/language/types.h"

#include <stdio.h>
#include <string.h>

static enum lorac_status read_flag(const struct lorac_value *v)
{
    static const char *const yes[] = {"yes",  "Yes",  "YES", "on", "On", "ON",
                                      "True", "TRUE", "y",   "Y",  "1"};
    static const char *const no[] = {"no",    "No",    "NO", "off", "Off", "OFF",
                                     "False", "FALSE", "n",  "N",   "0"};
    const char *s = lorac_node_text(v->node);
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
    if (!hint) { return lorac_value_wrong(v, v->node, "true or false"); }
    return lorac_reading_complain(
        v->rd, v->node, v->key, "must be true or false, found '%s' (did you mean '%s'?)", s, hint);
}

static void print_flag(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    lorac_buf_str(buf, *(const bool *)field ? "true" : "false");
}

const struct lorac_key_type lorac_type_flag = {read_flag, print_flag, .words = "true or false",
                                               .schema = "\"type\": \"boolean\""};

static enum lorac_status no_such_word(const struct lorac_value *v, const struct lorac_node *node)
{
    char expected[256] = "";
    size_t n = 0;
    const char *word = NULL;
    for (size_t i = 0; (word = lorac_key_word(v->key, i)); i++) {
        (void)snprintf(expected + n, sizeof expected - n, "%s'%s'", n ? " or " : "", word);
        n = strlen(expected);
    }
    char words[128];
    char hint[96];
    return lorac_reading_complain(
        v->rd, node, v->key, "must be %s, found %s%s", expected,
        lorac_node_words(words, sizeof words, node),
        lorac_word_hint(hint, sizeof hint, lorac_node_text(node), v->key));
}

/* The position of a word in the key's choices; *found false where an error was reported. */
static enum lorac_status read_word_at(unsigned *out, bool *found, const struct lorac_value *v,
                                      const struct lorac_node *node)
{
    const char *s = lorac_node_text(node);
    const char *word = NULL;
    *found = false;
    if (node->kind == LORAC_NODE_BAD) { return LORAC_OK; }
    for (unsigned i = 0; (word = lorac_key_word(v->key, i)); i++) {
        if (strcmp(word, s) != 0) { continue; }
        *out = i;
        *found = true;
        return LORAC_OK;
    }
    return no_such_word(v, node);
}

/* The words that this version takes, with `between` between them. */
static void add_words(struct lorac_buf *buf, const struct lorac_key *key, const char *between,
                      bool quote)
{
    const char *word = NULL;
    size_t n = 0;
    for (size_t i = 0; (word = lorac_key_word(key, i)); i++) {
        lorac_buf_str(buf, n++ ? between : "");
        if (quote) {
            lorac_buf_json(buf, word, strlen(word));
        } else {
            lorac_buf_str(buf, word);
        }
    }
}

static enum lorac_status read_choice(const struct lorac_value *v)
{
    unsigned i = 0;
    bool found = false;
    enum lorac_status st = read_word_at(&i, &found, v, v->node);
    if (found) { memcpy(v->field, &i, sizeof i); } // an enum, which has the size of unsigned
    return st;
}

_Static_assert(sizeof(enum lorac_recipe_keep) == sizeof(unsigned), "read_choice copies enums");

static void print_choice(struct lorac_buf *buf, const struct lorac_key *key, const void *field)
{
    unsigned i = 0;
    memcpy(&i, field, sizeof i);
    lorac_buf_str(buf, lorac_key_word(key, i));
}

static void add_choice_words(struct lorac_buf *buf, const struct lorac_key *key)
{
    add_words(buf, key, " | ", false);
}

static void add_choice_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_str(buf, "\"enum\": [");
    add_words(buf, key, ", ", true);
    lorac_buf_str(buf, "]");
}

const struct lorac_key_type lorac_type_choice = {read_choice, print_choice, .words = "",
                                                 .add_words = add_choice_words,
                                                 .add_schema = add_choice_schema};

static enum lorac_status read_name(const struct lorac_value *v)
{
    unsigned i = 0;
    bool found = false;
    enum lorac_status st = read_word_at(&i, &found, v, v->node);
    if (found) { *(const char **)v->field = lorac_key_word(v->key, i); }
    return st;
}

static void print_name(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    lorac_buf_str(buf, *(const char *const *)field);
}

const struct lorac_key_type lorac_type_name = {read_name, print_name, .words = "",
                                               .add_words = add_choice_words,
                                               .add_schema = add_choice_schema};

static enum lorac_status read_choice_or_none(const struct lorac_value *v)
{
    unsigned i = 0;
    bool found = false;
    enum lorac_status st = read_word_at(&i, &found, v, v->node);
    if (found) { *(unsigned *)v->field = i + 1; }
    return st;
}

static void print_choice_or_none(struct lorac_buf *buf, const struct lorac_key *key,
                                 const void *field)
{
    unsigned i = *(const unsigned *)field;
    if (i) {
        lorac_buf_str(buf, lorac_key_word(key, i - 1));
    } else {
        lorac_buf_str(buf, "null");
    }
}

static void add_choice_or_none_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_str(buf, "\"enum\": [");
    add_words(buf, key, ", ", true);
    lorac_buf_str(buf, ", null]");
}

const struct lorac_key_type lorac_type_choice_or_none = {read_choice_or_none, print_choice_or_none,
                                                         .words = "", .add_words = add_choice_words,
                                                         .add_schema = add_choice_or_none_schema};

static enum lorac_status read_choices(const struct lorac_value *v)
{
    unsigned bits = 0;
    enum lorac_status st = LORAC_OK;
    if (v->node->kind != LORAC_NODE_LIST) {
        return lorac_value_wrong(v, v->node, "a list of words");
    }
    for (const struct lorac_node *c = v->node->first; c && !st; c = c->next) {
        unsigned i = 0;
        bool found = false;
        st = read_word_at(&i, &found, v, c);
        if (found && bits >> i & 1u) {
            st = lorac_reading_complain(v->rd, c, v->key, "'%s' is listed twice", c->text);
        }
        if (found) { bits |= 1u << i; }
    }
    *(unsigned *)v->field = bits;
    return st;
}

static void print_choices(struct lorac_buf *buf, const struct lorac_key *key, const void *field)
{
    unsigned bits = *(const unsigned *)field;
    const char *between = "[";
    for (unsigned i = 0; i < 32; i++) {
        if (!(bits >> i & 1u)) { continue; }
        lorac_buf_str(buf, between);
        lorac_buf_str(buf, lorac_key_word(key, i));
        between = ", ";
    }
    lorac_buf_str(buf, bits ? "]" : "[]");
}

static void add_choices_words(struct lorac_buf *buf, const struct lorac_key *key)
{
    add_words(buf, key, ", ", false);
}

static void add_choices_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_str(buf, "\"type\": \"array\", \"uniqueItems\": true, \"items\": {\"enum\": [");
    add_words(buf, key, ", ", true);
    lorac_buf_str(buf, "]}");
}

const struct lorac_key_type lorac_type_choices = {
    read_choices, print_choices, .words = "a list of ", .add_words = add_choices_words,
    .add_schema = add_choices_schema};
