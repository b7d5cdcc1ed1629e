/* type_number.c - numbers and counts. See types.h. */
#include "base/core/number.h"
#include "recipes/language/types.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void lorac_add_range(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_printf(buf, " %s %.15g %s %.15g",
                     (key->flags & LORAC_KEY_ABOVE_MIN) ? "above" : "from", key->min,
                     (key->flags & LORAC_KEY_BELOW_MAX) ? "and below" : "to", key->max);
}

void lorac_add_bounds(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_printf(buf, "\"%s\": %.15g, \"%s\": %.15g",
                     (key->flags & LORAC_KEY_ABOVE_MIN) ? "exclusiveMinimum" : "minimum", key->min,
                     (key->flags & LORAC_KEY_BELOW_MAX) ? "exclusiveMaximum" : "maximum", key->max);
}

static enum lorac_status read_seed(const struct lorac_value *v)
{
    const char *s = lorac_node_text(v->node);
    if (!lorac_whole_parse(v->field, s, strlen(s), UINT64_MAX)) {
        return lorac_value_wrong(v, v->node, "a whole number from 0 to 18446744073709551615");
    }
    return LORAC_OK;
}

static void print_seed(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    lorac_buf_printf(buf, "%" PRIu64, *(const uint64_t *)field);
}

const struct lorac_key_type lorac_type_seed = {
    read_seed, print_seed, .words = "a whole number from 0 to 18446744073709551615",
    .schema = "\"type\": \"integer\", \"minimum\": 0"};

enum lorac_status lorac_read_whole_at(size_t *out, const struct lorac_value *v,
                                      const struct lorac_node *node, double min, double max,
                                      const char *or_else)
{
    const char *s = lorac_node_text(node);
    uint64_t x = 0;
    if (lorac_whole_parse(&x, s, strlen(s), (uint64_t)max) && x >= (uint64_t)min) {
        *out = (size_t)x;
        return LORAC_OK;
    }
    char expected[128];
    if (min < max) {
        (void)lorac_snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f%s", min,
                             max, or_else);
    } else {
        (void)lorac_snprintf(expected, sizeof expected, "%.0f", min);
    }
    return lorac_value_wrong(v, node, expected);
}

static enum lorac_status read_count(const struct lorac_value *v)
{
    return lorac_read_whole_at(v->field, v, v->node, v->key->min, v->key->max, "");
}

static void print_count(struct lorac_buf *buf, const struct lorac_key *key, const void *field)
{
    size_t n = *(const size_t *)field;
    bool none = n == 0 && (!key->otherwise || (key->flags & LORAC_KEY_NULLABLE));
    if (none) {
        lorac_buf_str(buf, "null");
    } else {
        lorac_buf_printf(buf, "%zu", n);
    }
}

static void add_count_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    bool nullable = (key->flags & LORAC_KEY_NULLABLE) || !key->otherwise;
    lorac_buf_printf(buf, "\"type\": [\"integer\"%s], ", nullable ? ", \"null\"" : "");
    lorac_add_bounds(buf, key);
}

const struct lorac_key_type lorac_type_count = {read_count, print_count, .words = "a whole number",
                                                .add_words = lorac_add_range,
                                                .add_schema = add_count_schema};

static enum lorac_status read_count_or_auto(const struct lorac_value *v)
{
    if (lorac_node_is_scalar(v->node) && strcmp(v->node->text, "auto") == 0) {
        *(size_t *)v->field = 0;
        return LORAC_OK;
    }
    return lorac_read_whole_at(v->field, v, v->node, v->key->min, v->key->max, " or auto");
}

static void print_count_or_auto(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    size_t n = *(const size_t *)field;
    if (n) {
        lorac_buf_printf(buf, "%zu", n);
    } else {
        lorac_buf_str(buf, "auto");
    }
}

static void add_count_or_auto_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_str(buf, "\"anyOf\": [{\"const\": \"auto\"}, {\"type\": \"integer\", ");
    lorac_add_bounds(buf, key);
    lorac_buf_str(buf, "}]");
}

const struct lorac_key_type lorac_type_count_or_auto = {
    read_count_or_auto, print_count_or_auto, .words = "auto, or a whole number",
    .add_words = lorac_add_range, .add_schema = add_count_or_auto_schema};

/* A number of the key's range, its open ends included in the message. */
enum lorac_status lorac_read_number_at(double *out, const struct lorac_value *v,
                                       const struct lorac_node *node)
{
    const struct lorac_key *k = v->key;
    double x = 0.0;
    enum lorac_number kind =
        lorac_node_is_scalar(node) ? lorac_number_parse(&x, node->text) : LORAC_NUMBER_NONE;
    bool above = k->flags & LORAC_KEY_ABOVE_MIN;
    bool below = k->flags & LORAC_KEY_BELOW_MAX;
    bool in_range = (above ? x > k->min : x >= k->min) && (below ? x < k->max : x <= k->max);
    if (kind == LORAC_NUMBER_OK && in_range) {
        *out = x;
        return LORAC_OK;
    }
    if (kind == LORAC_NUMBER_TOO_SMALL) {
        return lorac_value_wrong(v, node, "a number that is not lost as 0");
    }
    char expected[128];
    (void)lorac_snprintf(expected, sizeof expected, "a number %s %g and %s %g",
                         above ? "above" : "from", k->min, below ? "below" : "up to", k->max);
    return lorac_value_wrong(v, node, expected);
}

static enum lorac_status read_number(const struct lorac_value *v)
{
    return lorac_read_number_at(v->field, v, v->node);
}

static void print_number(struct lorac_buf *buf, const struct lorac_key *key, const void *field)
{
    double x = *(const double *)field;
    if (!key->otherwise && !(x > key->min)) { // such a key is LORAC_KEY_ABOVE_MIN
        lorac_buf_str(buf, "null");
    } else {
        lorac_number_print(buf, x);
    }
}

/* 1e-5 is a string to YAML 1.1, so a string may stand there. */
static void add_number_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_printf(buf, "\"type\": [\"number\", \"string\"%s], ",
                     key->otherwise ? "" : ", \"null\"");
    lorac_add_bounds(buf, key);
}

const struct lorac_key_type lorac_type_number = {read_number, print_number, .words = "a number",
                                                 .add_words = lorac_add_range,
                                                 .add_schema = add_number_schema};

static enum lorac_status read_betas(const struct lorac_value *v)
{
    double *betas = v->field;
    if (v->node->kind != LORAC_NODE_LIST || lorac_node_count(v->node) != 2) {
        return lorac_value_wrong(v, v->node, "a list of two numbers");
    }
    enum lorac_status st = lorac_read_number_at(&betas[0], v, v->node->first);
    return st ? st : lorac_read_number_at(&betas[1], v, v->node->first->next);
}

static void print_betas(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    const double *betas = field;
    lorac_buf_str(buf, "[");
    lorac_number_print(buf, betas[0]);
    lorac_buf_str(buf, ", ");
    lorac_number_print(buf, betas[1]);
    lorac_buf_str(buf, "]");
}

static void add_betas_schema(struct lorac_buf *buf, const struct lorac_key *key)
{
    lorac_buf_str(buf, "\"type\": \"array\", \"minItems\": 2, \"maxItems\": 2, \"items\": "
                       "{\"type\": [\"number\", \"string\"], ");
    lorac_add_bounds(buf, key);
    lorac_buf_str(buf, "}");
}

const struct lorac_key_type lorac_type_betas = {
    read_betas, print_betas, .words = "a list of two numbers, each", .add_words = lorac_add_range,
    .add_schema = add_betas_schema};
