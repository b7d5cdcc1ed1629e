/* job_evaluation.c - how a job's datasets are evaluated; see job.h. */
#include "recipes/run/heads.h"

bool lorac_compares_labels(const struct lorac_job *j, unsigned metrics)
{
    return j->K && !lorac_job_has_head(j) && lorac_metrics_compare(metrics);
}

const char *lorac_unmeasured(const struct lorac_job *j, unsigned metrics)
{
    bool table = j->recipe->data.kind == LORAC_RECIPE_DATA_TABLE;
    bool tags = lorac_job_objective(j)->target == LORAC_TARGET_TAGS;
    if (tags && lorac_metrics_entities(metrics) &&
        !lorac_tags_name((const char *const *)j->labels, j->K)) {
        return "not all tags are of entities (B-NAME, I-NAME, O), so entity_f1, precision and "
               "recall are not measured";
    }
    if (!table || j->K || !lorac_metrics_compare(metrics)) { return NULL; }
    return "free text: there are no labels to choose from, so accuracy and macro_f1 are not "
           "measured "
           "(exact_match would be)";
}

struct lorac_evaluator_options lorac_job_evaluation(const struct lorac_job *j,
                                                    const struct lorac_dataset *set,
                                                    unsigned metrics,
                                                    const struct lorac_socket *socket)
{
    return (struct lorac_evaluator_options){.model = j->model,
                                            .set = set,
                                            .socket = socket,
                                            .labels = (const char *const *)j->labels,
                                            .K = j->K,
                                            .metrics = metrics,
                                            .threshold = j->recipe->eval.threshold};
}

enum lorac_status lorac_job_evaluator(struct lorac_evaluator **out, const struct lorac_job *j,
                                      const struct lorac_dataset *set, unsigned metrics,
                                      const struct lorac_socket *socket, struct lorac_err *err)
{
    struct lorac_evaluator_options o = lorac_job_evaluation(j, set, metrics, socket);
    *out = NULL;
    enum lorac_status st = lorac_job_check_length(j, err);
    return st ? st : lorac_evaluator_new(out, &o, err);
}
