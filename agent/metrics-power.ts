// Metrics of heat, power and what they leave for work in the background.
import { by, type Entry, one } from './metric.ts';

/** Sensors, the governor's pace, and what waits for it. */
export const POWER: readonly Entry[] = [
  {
    name: 'nearcast_power_watts',
    type: 'gauge',
    labels: ['rail'],
    help: 'Power by supply rail, where the host measures it; rails may contain each other. None: see power.sysfsRoot.',
    read: ({ power }) => by('rail', power?.rails ?? {}),
  },
  {
    name: 'nearcast_power_joules_total',
    type: 'counter',
    labels: [],
    help: 'Energy of the whole host since the start, where it is measured.',
    read: ({ power }) => (power?.joules === undefined ? [] : one(power.joules)),
  },
  {
    name: 'nearcast_temperature_celsius',
    type: 'gauge',
    labels: ['zone'],
    help: 'Temperature by zone. Near its trip point the kernel slows the processor down; background work slows down before.',
    read: ({ power }) => by('zone', power?.celsius ?? {}),
  },
  {
    name: 'nearcast_power_pace_ratio',
    type: 'gauge',
    labels: [],
    help: 'Pace of background work, 0 (paused) to 1. Low for long: nearcast_power_held says why.',
    read: ({ power }) => (power === undefined ? [] : one(power.pace)),
  },
  {
    name: 'nearcast_power_held',
    type: 'gauge',
    labels: ['reason'],
    help: '1 for what holds background work below full pace now.',
    read: ({ power }) => (power === undefined ? [] : [{ labels: { reason: power.reason }, value: 1 }]),
  },
  {
    name: 'nearcast_power_pauses_total',
    type: 'counter',
    labels: [],
    help: 'Times that all background work was paused. Many an hour: cooling or power.wattsBudget leaves too little room.',
    read: ({ power }) => (power === undefined ? [] : one(power.pauses)),
  },
  {
    name: 'nearcast_power_lost_sensors',
    type: 'gauge',
    labels: [],
    help: 'Sensors that could be read and cannot now; background work is slow meanwhile. Log event power.sensor-lost names them.',
    read: ({ power }) => (power === undefined ? [] : one(power.lost.length)),
  },
  {
    name: 'nearcast_encode_waiting',
    type: 'gauge',
    labels: ['reason'],
    help: 'Encode jobs that wait, by what for: operator, memory, power, worth, turn. See nearcast plan.',
    read: ({ encode }) => by('reason', encode.waiting),
  },
  {
    name: 'nearcast_encode_joules_total',
    type: 'counter',
    labels: [],
    help: 'Energy of the whole host while encodes ran, where it is measured.',
    read: ({ encode }) => one(encode.joules),
  },
];
