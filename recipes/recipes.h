/* recipes.h - recipes, what they open, evaluation, prediction and runs. The public header of this
 * folder. */
#ifndef LORAC_RECIPES_H
#define LORAC_RECIPES_H

#include "recipes/choose.h"
#include "recipes/evaluate.h"
#include "recipes/fewshot.h"
#include "recipes/found.h"
#include "recipes/init.h"
#include "recipes/job.h"
#include "recipes/labels.h"
#include "recipes/plan.h"
#include "recipes/predict.h"
#include "recipes/predictor.h"
#include "recipes/recipe.h"
#include "recipes/run.h"
#include "recipes/saved_template.h"

#endif
