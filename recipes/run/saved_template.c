/* saved_template.c - see saved_template.h. */
#include "recipes/run/saved_template.h"

#include "base/core/json.h"
#include "base/core/mem.h"

#include <string.h>

static const char *text_or_none(const char *text)
{
    return text ? text : "";
}

enum lorac_status lorac_template_save(struct lorac_adapter *a, const struct lorac_job *j,
                                      struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const char *prompt = text_or_none(r->templates.prompt);
    const char *completion = text_or_none(r->templates.completion);
    char tokenizer[LORAC_TOKENIZER_FINGERPRINT];
    struct lorac_buf b = {0};
    enum lorac_status st = lorac_tokenizer_fingerprint(tokenizer, j->tokenizer, err);
    if (st) { return st; }
    lorac_buf_str(&b, "{\"prompt\": ");
    lorac_json_quote(&b, prompt, strlen(prompt));
    lorac_buf_str(&b, ", \"completion\": ");
    lorac_json_quote(&b, completion, strlen(completion));
    lorac_buf_printf(&b, ", \"append_eos\": %s, \"labels\": [",
                     r->templates.append_eos ? "true" : "false");
    for (size_t k = 0; k < j->K; k++) {
        lorac_buf_str(&b, k ? ", " : "");
        lorac_json_quote(&b, j->labels[k], strlen(j->labels[k]));
    }
    lorac_buf_printf(&b, "], \"tokenizer\": \"%s\"}", tokenizer);
    lorac_mem_free(a->template_json);
    a->template_json = b.no_memory ? NULL : b.at;
    if (!a->template_json) {
        lorac_buf_free(&b);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the template");
    }
    return LORAC_OK;
}

/* The texts differ: say so, quoted, so that every character shows. */
static enum lorac_status differ(const struct lorac_adapter *a, const char *key, const char *was,
                                const char *is, struct lorac_err *err)
{
    struct lorac_buf x = {0};
    struct lorac_buf y = {0};
    lorac_json_quote(&x, was, strlen(was));
    lorac_json_quote(&y, is, strlen(is));
    enum lorac_status st =
        x.no_memory || y.no_memory
            ? lorac_fail(err, LORAC_ENOMEM, "no memory for the template")
            : lorac_fail(
                  err, LORAC_EUSER,
                  "%.120s: was trained with template.%s %.90s, the recipe has %.90s; use the "
                  "recipe that it was trained with, or --force",
                  a->name ? a->name : "the adapter", key, x.at, y.at);
    lorac_buf_free(&x);
    lorac_buf_free(&y);
    return st;
}

static bool holds_label(const json_t *list, const char *label)
{
    size_t i = 0;
    json_t *value = NULL;
    json_array_foreach(list, i, value)
    {
        const char *text = json_string_value(value);
        if (text && strcmp(text, label) == 0) { return true; }
    }
    return false;
}

/* The labels to choose from are those that it learnt to choose from, in any order. `was`: as saved.
 */
static enum lorac_status check_labels(const struct lorac_adapter *a, const json_t *was,
                                      const struct lorac_job *j, struct lorac_err *err)
{
    static const char way[] =
        "use the recipe and the training table that it was trained with, or --force";
    const char *name = a->name ? a->name : "the adapter";
    size_t i = 0;
    json_t *value = NULL;
    if (!was) { return LORAC_OK; }
    for (size_t k = 0; k < j->K; k++) {
        if (holds_label(was, j->labels[k])) { continue; }
        return lorac_fail(
            err, LORAC_EUSER,
            "%.120s: was not trained with the label '%.60s' (of the recipe or its training "
            "table); %s",
            name, j->labels[k], way);
    }
    json_array_foreach(was, i, value)
    {
        const char *text = json_string_value(value);
        bool found = false;
        for (size_t k = 0; k < j->K && text; k++) {
            found = found || strcmp(j->labels[k], text) == 0;
        }
        if (found) { continue; }
        return lorac_fail(
            err, LORAC_EUSER,
            "%.120s: was trained with the label '%.60s', which neither the recipe nor its "
            "training table has; %s",
            name, text ? text : "?", way);
    }
    return LORAC_OK;
}

enum lorac_status lorac_template_check_tokenizer(const struct lorac_adapter *a,
                                                 const struct lorac_tokenizer *t,
                                                 struct lorac_err *err)
{
    struct lorac_json root = {0};
    char is[LORAC_TOKENIZER_FINGERPRINT];
    const char *was = NULL;
    if (!a->template_json) { return LORAC_OK; }
    enum lorac_status st =
        lorac_json_parse(&root, a->template_json, strlen(a->template_json), "lorac.template", err);
    if (!st) { st = lorac_json_string(&was, &root, "tokenizer", false, err); }
    if (!st && was) { st = lorac_tokenizer_fingerprint(is, t, err); }
    if (!st && was && strcmp(was, is) != 0) {
        st = lorac_fail(
            err, LORAC_EUSER,
            "%.200s: was trained with another tokenizer: it names %.16s, the base's is %s (--force "
            "takes it all the same)",
            a->name ? a->name : "the adapter", was, is);
    }
    lorac_json_free(&root);
    return st;
}

enum lorac_status lorac_template_check(const struct lorac_adapter *a, const struct lorac_job *j,
                                       struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const char *prompt = "";
    const char *completion = "";
    bool eos = false;
    struct lorac_json root = {0};
    if (!a->template_json) { return LORAC_OK; }
    enum lorac_status st =
        lorac_json_parse(&root, a->template_json, strlen(a->template_json), "lorac.template", err);
    if (!st) { st = lorac_json_string(&prompt, &root, "prompt", true, err); }
    if (!st) { st = lorac_json_string(&completion, &root, "completion", true, err); }
    if (!st) { st = lorac_json_bool(&eos, &root, "append_eos", true, err); }
    if (st) {
        lorac_err_prefix(err, "%s: ", a->name ? a->name : "the adapter");
    } else if (strcmp(prompt, text_or_none(r->templates.prompt)) != 0) {
        st = differ(a, "prompt", prompt, text_or_none(r->templates.prompt), err);
    } else if (strcmp(completion, text_or_none(r->templates.completion)) != 0) {
        st = differ(a, "completion", completion, text_or_none(r->templates.completion), err);
    } else if (eos != r->templates.append_eos) {
        st = differ(a, "append_eos", eos ? "true" : "false", eos ? "false" : "true", err);
    } else {
        st = check_labels(a, json_object_get(root.value, "labels"), j, err);
    }
    if (!st) { st = lorac_template_check_tokenizer(a, j->tokenizer, err); }
    lorac_json_free(&root);
    return st;
}
