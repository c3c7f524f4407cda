// Metrics of models: how they are trained, tried and replaced, and whether what they foresee is still so.
import { by, type Entry, one, type Sample } from './metric.ts';

const known = (label: string, values: Readonly<Record<string, number | undefined>>): readonly Sample[] =>
  Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [{ labels: { [label]: key }, value }]));

/** Training, the trial on live questions, drift. */
export const MODEL: readonly Entry[] = [
  {
    name: 'nearcast_model_training_runs_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Runs of training by how they ended. deadline or memory: see predict.retrain; too-little: few viewers consented yet.',
    read: ({ predict }) => by('outcome', predict.life?.runs ?? {}),
  },
  {
    name: 'nearcast_model_training_last_success_timestamp_seconds',
    type: 'gauge',
    labels: [],
    help: 'When a model was last trained; 0 before the first.',
    read: ({ predict }) => (predict.life === undefined ? [] : one(predict.life.lastTrainedSeconds)),
  },
  {
    name: 'nearcast_model_training_progress_ratio',
    type: 'gauge',
    labels: [],
    help: 'Progress of the training that runs, 0..1.',
    read: ({ predict }) => (predict.life?.trainingRatio === undefined ? [] : one(predict.life.trainingRatio)),
  },
  {
    name: 'nearcast_model_changes_total',
    type: 'counter',
    labels: ['change'],
    help: 'Challengers promoted or withdrawn, champions rolled back, or demoted because their answers always came too late. Rolled back: nearcast model list says what was lost.',
    read: ({ predict }) => by('change', predict.life?.changes ?? {}),
  },
  {
    name: 'nearcast_model_questions_total',
    type: 'counter',
    labels: ['outcome'],
    help: 'Questions to the process of the champion: answered in time, late, failed, or refused since it had not answered others. Plain code answers instead; late: see predict.deadlineMs and the load of the host.',
    read: ({ predict }) => by('outcome', predict.asked),
  },
  {
    name: 'nearcast_model_trial_questions',
    type: 'gauge',
    labels: [],
    help: 'Live questions in the present trial; the first decision is at 1,000.',
    read: ({ predict }) => (predict.life === undefined ? [] : one(predict.life.trial.questions)),
  },
  {
    name: 'nearcast_model_trial_ndcg',
    type: 'gauge',
    labels: ['model'],
    help: 'NDCG at 10 of the titles that viewers opened next, by the champion and by the model that is tried beside it.',
    read: ({ predict: { life } }) =>
      life === undefined || life.trial.questions === 0
        ? []
        : known('model', { champion: life.trial.championNdcg, other: life.trial.otherNdcg }),
  },
  {
    name: 'nearcast_predict_drift_ratio',
    type: 'gauge',
    labels: ['what'],
    help: 'Yesterday against the day before: drift of demand and of the ranks of what was opened, by its threshold. Above 1: it is another audience or catalogue than was learnt.',
    read: ({ predict }) => known('what', predict.drift),
  },
  {
    name: 'nearcast_predict_trust_ratio',
    type: 'gauge',
    labels: [],
    help: 'How far forecasts are trusted; the nightly fill spends this part of its budget. Halved by a day of drift.',
    read: ({ predict }) => one(predict.trust),
  },
];
