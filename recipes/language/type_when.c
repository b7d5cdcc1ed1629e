/* type_when.c - spans of a run: steps or a share of them, and how often. See types.h. */
#include "recipes/language/types.h"

#include <string.h>

static enum lorac_status read_amount(const struct lorac_value *v)
{
    struct lorac_recipe_amount *a = v->field;
    const char *s = lorac_node_text(v->node);
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
    return lorac_value_wrong(v, v->node, "a number of steps (100) or a percentage (5%)");
}

static void print_amount(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    const struct lorac_recipe_amount *a = field;
    if (!a->is_percent) {
        lorac_buf_printf(buf, "%zu", a->steps);
        return;
    }
    lorac_number_print(buf, a->percent);
    lorac_buf_str(buf, "%");
}

const struct lorac_key_type lorac_type_amount = {
    read_amount, print_amount, .words = "steps (100) or a percentage (5%)",
    .schema = "\"type\": [\"integer\", \"string\"], \"minimum\": 0, \"pattern\": "
              "\"^[0-9.eE+-]+%?$\""};

static enum lorac_status read_interval(const struct lorac_value *v)
{
    struct lorac_recipe_interval *i = v->field;
    const char *s = lorac_node_text(v->node);
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
    return lorac_value_wrong(v, v->node, "steps (100), epochs (0.25 epoch) or end");
}

static void print_interval(struct lorac_buf *buf, LORAC_NO_KEY, const void *field)
{
    const struct lorac_recipe_interval *i = field;
    switch (i->unit) {
    case LORAC_RECIPE_EVERY_STEPS:
        lorac_buf_printf(buf, "%zu step%s", i->steps, i->steps == 1 ? "" : "s");
        break;
    case LORAC_RECIPE_EVERY_END:
        lorac_buf_str(buf, "end");
        break;
    case LORAC_RECIPE_EVERY_EPOCHS:
        lorac_number_print(buf, i->epochs);
        lorac_buf_str(buf, " epoch");
        break;
    }
}

const struct lorac_key_type lorac_type_interval = {
    read_interval, print_interval, .words = "100 (steps), 0.25 epoch, or end",
    .schema = "\"type\": [\"integer\", \"string\"], \"minimum\": 1, \"pattern\": "
              "\"^(end|[0-9]+( steps?)?|[0-9.eE+-]+ epochs?)$\""};
