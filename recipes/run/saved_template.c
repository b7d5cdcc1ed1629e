/* saved_template.c - see saved_template.h. */
#include "recipes/run/saved_template.h"

#include "base/core/mem.h"
#include "recipes/run/heads.h"

#include <string.h>

static const char *text_or_none(const char *text)
{
    return text ? text : "";
}

enum lorac_status lorac_template_save(struct lorac_adapter *a, const struct lorac_job *j,
                                      struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const bool whole = j->chat && j->texts.messages != SIZE_MAX;
    const struct lorac_objective *o = lorac_job_objective(j);
    const bool numbers = o->target == LORAC_TARGET_NUMBER;
    char tokenizer[LORAC_TOKENIZER_FINGERPRINT];
    struct lorac_buf b = {0};
    enum lorac_status st = lorac_tokenizer_fingerprint(tokenizer, j->tokenizer, err);
    if (st) { return st; }
    lorac_saved_write(&b, &(struct lorac_saved){
                              .prompt = whole ? "" : text_or_none(j->texts.prompt),
                              .completion = whole ? "" : text_or_none(j->texts.completion),
                              .chat = j->chat ? lorac_chat_text(j->chat) : NULL,
                              .system = r->templates.system,
                              .date = r->templates.date,
                              .append_eos = r->templates.append_eos,
                              .labels = (const char *const *)j->labels,
                              .K = j->K,
                              .tokenizer = tokenizer,
                              .problem = o->problem,
                              .mean = j->frame.mean,
                              .deviation = numbers ? j->frame.deviation : 0.0,
                          });
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
    lorac_buf_json(&x, was, strlen(was));
    lorac_buf_json(&y, is, strlen(is));
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

static bool holds_label(const char *const *labels, size_t K, const char *label)
{
    for (size_t k = 0; k < K; k++) {
        if (strcmp(labels[k], label) == 0) { return true; }
    }
    return false;
}

/* The labels to choose from are those that it learnt to choose from, in any order. `was`: as saved.
 */
static enum lorac_status check_labels(const struct lorac_adapter *a, const struct lorac_saved *was,
                                      const struct lorac_job *j, struct lorac_err *err)
{
    static const char way[] =
        "use the recipe and the training table that it was trained with, or --force";
    const char *name = a->name ? a->name : "the adapter";
    if (!was->labels) { return LORAC_OK; }
    for (size_t k = 0; k < j->K; k++) {
        if (holds_label(was->labels, was->K, j->labels[k])) { continue; }
        return lorac_fail(
            err, LORAC_EUSER,
            "%.120s: was not trained with the label '%.60s' (of the recipe or its training "
            "table); %s",
            name, j->labels[k], way);
    }
    for (size_t k = 0; lorac_job_has_head(j) && k < was->K && k < j->K; k++) {
        if (strcmp(was->labels[k], j->labels[k]) == 0) { continue; }
        return lorac_fail(
            err, LORAC_EUSER,
            "%.120s: output %zu of its head is for the label '%.60s', and for '%.60s' here: the "
            "same labels in another order; %s",
            name, k, was->labels[k], j->labels[k], way);
    }
    for (size_t k = 0; k < was->K; k++) {
        if (holds_label((const char *const *)j->labels, j->K, was->labels[k])) { continue; }
        return lorac_fail(
            err, LORAC_EUSER,
            "%.120s: was trained with the label '%.60s', which neither the recipe nor its "
            "training table has; %s",
            name, was->labels[k], way);
    }
    return LORAC_OK;
}

static enum lorac_status check_tokenizer(const struct lorac_adapter *a,
                                         const struct lorac_saved *was,
                                         const struct lorac_tokenizer *t, struct lorac_err *err)
{
    char is[LORAC_TOKENIZER_FINGERPRINT];
    if (!was->tokenizer) { return LORAC_OK; }
    enum lorac_status st = lorac_tokenizer_fingerprint(is, t, err);
    if (!st && strcmp(was->tokenizer, is) != 0) {
        st = lorac_fail(
            err, LORAC_EUSER,
            "%.200s: was trained with another tokenizer: it names %.16s, the base's is %s (--force "
            "takes it all the same)",
            a->name ? a->name : "the adapter", was->tokenizer, is);
    }
    return st;
}

enum lorac_status lorac_template_check_tokenizer(const struct lorac_adapter *a,
                                                 const struct lorac_tokenizer *t,
                                                 struct lorac_err *err)
{
    struct lorac_saved *was = NULL;
    enum lorac_status st = lorac_saved_read(&was, a->template_json, err);
    if (was) { st = check_tokenizer(a, was, t, err); }
    lorac_mem_free(was);
    return st;
}

enum lorac_status lorac_template_from(struct lorac_job *j, const struct lorac_adapter *a,
                                      struct lorac_err *err)
{
    struct lorac_saved *was = NULL;
    if (!j->recipe->adapter.from || !lorac_job_has_head(j)) { return LORAC_OK; }
    enum lorac_status st = lorac_saved_read(&was, a->template_json, err);
    if (was) { st = check_labels(a, was, j, err); }
    lorac_mem_free(was);
    return st ? st : lorac_head_take(j, a, err);
}

enum lorac_status lorac_template_check(const struct lorac_adapter *a, const struct lorac_job *j,
                                       struct lorac_err *err)
{
    const bool whole = j->chat && j->texts.messages != SIZE_MAX;
    const char *prompt = whole ? "" : text_or_none(j->texts.prompt);
    const char *completion = whole ? "" : text_or_none(j->texts.completion);
    const char *system = text_or_none(j->recipe->templates.system);
    bool eos = j->recipe->templates.append_eos;
    struct lorac_saved *was = NULL;
    enum lorac_status st = lorac_saved_read(&was, a->template_json, err);
    if (st) { lorac_err_prefix(err, "%s: ", a->name ? a->name : "the adapter"); }
    if (!was) { return st; }
    const struct lorac_objective *o = lorac_job_objective(j);
    if (strcmp(text_or_none(was->problem), text_or_none(o->problem)) != 0) {
        st = lorac_fail(
            err, LORAC_EUSER, "%.120s: was trained for %s, the recipe for %s (objective: %s)",
            a->name ? a->name : "the adapter", was->problem ? was->problem : "writing or for tags",
            o->problem ? o->problem : "that", o->name);
    } else if ((was->chat != NULL) != (j->chat != NULL)) {
        st = differ(a, "kind", was->chat ? "chat" : "text", j->chat ? "chat" : "text", err);
    } else if (j->chat && strcmp(was->chat, lorac_chat_text(j->chat)) != 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%.120s: was trained with another chat template than %s brings; use the "
                        "one that it was trained with (its chat_template.jinja), or --force",
                        a->name ? a->name : "the adapter", j->recipe->model.path);
    } else if (strcmp(text_or_none(was->system), system) != 0) {
        st = differ(a, "system", text_or_none(was->system), system, err);
    } else if (strcmp(was->prompt, prompt) != 0) {
        st = differ(a, "prompt", was->prompt, prompt, err);
    } else if (strcmp(was->completion, completion) != 0) {
        st = differ(a, o->target ? "pair" : "completion", was->completion, completion, err);
    } else if (was->append_eos != eos) {
        st = differ(a, "append_eos", eos ? "false" : "true", eos ? "true" : "false", err);
    } else {
        st = check_labels(a, was, j, err);
    }
    if (!st) { st = check_tokenizer(a, was, j->tokenizer, err); }
    lorac_mem_free(was);
    return st;
}
