/* recipes.h - recipes, what they open, evaluation, prediction and runs. The public header of this
 * folder. */
#ifndef LORAC_RECIPES_H
#define LORAC_RECIPES_H

#include "recipes/language/recipe.h"
#include "recipes/language/sweep.h"
#include "recipes/report/board.h"
#include "recipes/report/report.h"
#include "recipes/report/statistics.h"
#include "recipes/run/choose.h"
#include "recipes/run/evaluate.h"
#include "recipes/run/fewshot.h"
#include "recipes/run/found.h"
#include "recipes/run/heads.h"
#include "recipes/run/init.h"
#include "recipes/run/job.h"
#include "recipes/run/labels.h"
#include "recipes/run/logits.h"
#include "recipes/run/metrics.h"
#include "recipes/run/plan.h"
#include "recipes/run/predict.h"
#include "recipes/run/predictions.h"
#include "recipes/run/predictor.h"
#include "recipes/run/ranks.h"
#include "recipes/run/record.h"
#include "recipes/run/run.h"
#include "recipes/run/saved_template.h"
#include "recipes/run/shared.h"
#include "recipes/run/sweep.h"
#include "recipes/run/trainer.h"
#include "recipes/run/verdicts.h"

#endif
