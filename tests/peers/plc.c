// A reject gate on libmodbus, written against docs/plc.md alone: the judge of the tests, and no code of the
// runtime's.
//
//   plc --tcp PORT | --rtu DEVICE [--unit 1] [--mode pulse|tracked] [--parts N --pitch MM --lead-in MM]
//       [--speed M_PER_S --ramp SHARE --ramp-s SECONDS] [--encoder-start COUNTS] [--distance MM] [--valve-lag
//       MS]
//       [--pulse-ms MS] [--scan-ms 5] [--out FILE.csv] [--encoder-fault lost|noisy|reversed --fault-from S
//       --fault-to S]
//       [--refuse FUNCTION,FUNCTION,...] [--ejector-register ADDRESS] [--clear] [--first-answer-ms MS]
//       [--answer-at-scan] [--one-master] [--idle-ms MS]
//
// The habits of other PLCs: function codes that it does not have, the ejector in a holding register instead
// of a coil, registers that are cleared when a master connects, a first answer that takes its time, one
// answer a scan, a second connection that is hung up, a connection that is closed when nothing was asked for
// a while.
//
// Requests are answered when they come, and writes take effect at their arrival; the program runs every scan,
// whatever the network does.
// The belt starts 300 ms after READY with a live heartbeat. v(t) = speed * (1 + ramp * sin(2 pi t / ramp_s)).
// At the end (SIGTERM) the parts, every edge of the coil and every change of the diverter are written to
// --out.
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <modbus.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STATUS = 0, HANDSHAKE = 16, VERDICT = 32, PLC = 64, CONTROL = 72, REGISTERS = 256, COILS = 64 };
enum { PASS = 1, REJECT = 2 };
enum { STARTING, RUNNING, DIVERTING };
enum { READY_BIT = 1, LEASE_BIT = 32 };
enum { MAX_MASTERS = 8, MAX_HEARTBEAT_STEP = 64 };

typedef struct {
  double position_mm;
  int64_t crossing_ns, verdict_ns;
  uint32_t records;
  uint8_t verdict, late, bin, blown, diverted;  // bin 0: not yet at the nozzle, 1 good, 2 reject
} Part;

typedef struct {
  int64_t ns;
  bool on;
} Edge;

static struct {
  bool tracked;
  int parts, unit, scan_ms;
  double pitch_mm, lead_in_mm, speed_m_per_s, ramp, ramp_s, distance_mm, valve_lag_ms, pulse_ms,
      counts_per_mm;
  uint32_t encoder_start;
  const char *out, *encoder_fault;
  double fault_from_s, fault_to_s;
  uint32_t refused;  // bit n: function code n
  int ejector_register;
  bool clear, answer_at_scan, one_master;
  int first_answer_ms, idle_ms;
} opt = {.unit = 1,
         .ejector_register = -1,
         .scan_ms = 5,
         .pitch_mm = 120,
         .lead_in_mm = 200,
         .speed_m_per_s = 1.2,
         .ramp_s = 4,
         .distance_mm = 400,
         .valve_lag_ms = 8,
         .pulse_ms = 500,
         .counts_per_mm = 10};

static const int64_t SECOND = 1000000000;
static modbus_t* link_;
static modbus_mapping_t* map;
static Part* parts;

typedef struct {
  Edge* at;
  size_t count, room;
} Edges;

static Edges coil, valve;  // what the runtime wrote; what the valve got: the coil, or a lease that ran out
static int next_part;
static int64_t belt_start_ns, program_start_ns;
static uint32_t last_sequence, duplicates, gaps, torn, jumps;
static volatile sig_atomic_t ending;
static pthread_mutex_t program = PTHREAD_MUTEX_INITIALIZER;  // holds everything above but the network

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static uint32_t u32(int at) { return (uint32_t)map->tab_registers[at] << 16 | map->tab_registers[at + 1]; }

static void put_u32(int at, uint32_t value) {
  map->tab_registers[at] = value >> 16;
  map->tab_registers[at + 1] = value & 0xFFFF;
}

// --- belt -------------------------------------------------------------------------------------------------

static double position_mm(int64_t ns) {
  if (belt_start_ns == 0 || ns <= belt_start_ns) return 0;
  const double t = (ns - belt_start_ns) / 1e9, w = 2 * M_PI / opt.ramp_s;
  return 1000 * opt.speed_m_per_s * (t + opt.ramp / w * (1 - cos(w * t)));
}

static double speed_m_per_s(int64_t ns) {
  if (belt_start_ns == 0 || ns <= belt_start_ns) return 0;
  return opt.speed_m_per_s * (1 + opt.ramp * sin(2 * M_PI / opt.ramp_s * ((ns - belt_start_ns) / 1e9)));
}

static uint32_t encoder(int64_t ns) {
  return opt.encoder_start + (uint32_t)(int64_t)(position_mm(ns) * opt.counts_per_mm);
}

// What the counter shows: the belt, or what is left of it while the encoder is broken.
static uint32_t reading(int64_t ns) {
  const uint32_t true_count = encoder(ns);
  const double t = (ns - belt_start_ns) / 1e9;
  if (!opt.encoder_fault || belt_start_ns == 0 || t < opt.fault_from_s || t > opt.fault_to_s)
    return true_count;
  const uint32_t at_fault = encoder(belt_start_ns + (int64_t)(opt.fault_from_s * 1e9));
  switch (opt.encoder_fault[0]) {
    case 'l':
      return at_fault;
    case 'r':
      return at_fault - (true_count - at_fault);
  }
  return true_count + (uint32_t)(rand() % 1200) - 600;
}

// When the belt has travelled so far: bisection, because the judge must not share the runtime's way of
// counting.
static int64_t time_at_ns(double mm) {
  int64_t low = belt_start_ns, high = belt_start_ns + (int64_t)(mm / (1000 * opt.speed_m_per_s) * 1e9) +
                                      (int64_t)(opt.ramp_s * 1e9);
  while (high - low > 1000) {
    const int64_t middle = low + (high - low) / 2;
    if (position_mm(middle) < mm) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return high;
}

// --- watchdog, ejector
// -----------------------------------------------------------------------------------------

static uint16_t beat;
static bool beat_known;
static int64_t beat_changed_ns = -1, trusted_from_ns;

// A heartbeat that steps back or leaps comes from a second master: for a second nobody holds the diverter.
static void take_status(int64_t ns) {
  const uint16_t value = map->tab_registers[STATUS + 1], step = value - beat;
  if (!beat_known) {
    beat_known = true;
  } else if (step > MAX_HEARTBEAT_STEP) {
    jumps++;
    beat_changed_ns = -1;
    trusted_from_ns = ns + SECOND;
  } else if (step != 0) {
    beat_changed_ns = ns;
  }
  beat = value;
  const bool ready = map->tab_registers[STATUS + 3] & READY_BIT;
  if (ready && beat_changed_ns >= 0 && belt_start_ns == 0 && opt.parts > 0) {
    belt_start_ns = ns + 300000000;
    for (int i = 0; i < opt.parts; ++i)
      parts[i].crossing_ns = time_at_ns(parts[i].position_mm + opt.distance_mm);
    printf("belt %lld\n", (long long)belt_start_ns);
    fflush(stdout);
  }
}

static bool alive(int64_t ns) {
  const int64_t period_ns = 1000000LL * map->tab_registers[STATUS + 2];
  if (map->tab_registers[STATUS] != 1) return false;  // a protocol that we do not know
  return beat_changed_ns >= 0 && ns >= trusted_from_ns && ns <= beat_changed_ns + 2 * period_ns;
}

// The lease: up to this count the runtime knows that nothing to be rejected reaches the nozzle.
static bool leased(int64_t ns) {
  if (!(map->tab_registers[HANDSHAKE] & LEASE_BIT)) return true;
  return (int32_t)(reading(ns) - u32(HANDSHAKE + 10)) <= 0;
}

static void add_edge(Edges* edges, int64_t ns, bool on) {
  if (edges->count > 0 && edges->at[edges->count - 1].on == on) return;
  if (edges->count == edges->room) {
    edges->room = edges->room ? 2 * edges->room : 1024;
    edges->at = realloc(edges->at, edges->room * sizeof(Edge));
  }
  edges->at[edges->count++] = (Edge){ns, on};
}

static void drive_valve(int64_t ns) { add_edge(&valve, ns, map->tab_bits[0] || !leased(ns)); }

// Timed pulse: a coil that nobody switches off goes off by itself, once the diverter has taken over.
static void end_pulse(int64_t ns) {
  if (coil.count == 0 || !coil.at[coil.count - 1].on) return;
  if (ns - coil.at[coil.count - 1].ns > (int64_t)(opt.pulse_ms * 1e6) && !alive(ns)) {
    map->tab_bits[0] = 0;
    if (opt.ejector_register >= 0) map->tab_registers[opt.ejector_register] = 0;
    add_edge(&coil, ns, false);
  }
}

static bool blows(int64_t ns) {
  const int64_t at = ns - (int64_t)(opt.valve_lag_ms * 1e6);
  for (size_t i = valve.count; i-- > 0;) {
    if (valve.at[i].ns <= at) return valve.at[i].on;
  }
  return false;
}

// --- verdict queue, shift register
// ------------------------------------------------------------------------------

static void take_verdict(int64_t ns) {
  const uint32_t sequence = u32(VERDICT);
  if (sequence == 0 || map->tab_registers[VERDICT + 11] != (sequence & 0xFFFF)) {
    torn++;
    return;
  }
  if (sequence > last_sequence + 1) gaps += sequence - last_sequence - 1;
  if (sequence > last_sequence) last_sequence = sequence;
  if (sequence > (uint32_t)opt.parts) return;
  Part* part = &parts[sequence - 1];
  const uint16_t verdict = map->tab_registers[VERDICT + 4];
  const bool first = part->records++ == 0;
  if (!first) duplicates++;
  if (part->bin != 0) return;  // it has left: nothing that comes now changes where it lies
  if (first || verdict == REJECT) {
    part->verdict = verdict;
    part->late = (int32_t)(encoder(ns) - u32(VERDICT + 8)) > 0;
    part->verdict_ns = ns;
  }
}

static void advance(int64_t ns) {
  if (belt_start_ns == 0) return;
  while (next_part < opt.parts && parts[next_part].crossing_ns <= ns) {
    Part* part = &parts[next_part++];
    const int64_t at = part->crossing_ns;
    part->diverted = at < program_start_ns || !alive(at);
    part->blown = blows(at);
    const bool passes = opt.tracked ? part->verdict == PASS && !part->late : !part->blown;
    part->bin = part->diverted || !passes ? 2 : 1;
    if (part->bin == 2) put_u32(CONTROL + 4, u32(CONTROL + 4) + 1);  // light barrier in the reject chute
  }
}

static void refresh(int64_t ns) {
  map->tab_registers[PLC + 1] = belt_start_ns == 0 ? STARTING : alive(ns) ? RUNNING : DIVERTING;
  map->tab_registers[PLC + 2] = opt.tracked;
  map->tab_registers[PLC + 3] = (uint16_t)lround(1000 * speed_m_per_s(ns));
  put_u32(PLC + 4, reading(ns));
  put_u32(PLC + 6, last_sequence);
  put_u32(CONTROL + 2, last_sequence);
}

// --- requests
// ---------------------------------------------------------------------------------------------------

// After the answer: what a write means. `query` holds a whole request, its function code at `header`.
static void written(const uint8_t* query, int header, int64_t ns) {
  const int function = query[header], address = query[header + 1] << 8 | query[header + 2];
  const int count = function == 16 ? query[header + 3] << 8 | query[header + 4] : 1;
  const bool registers = function == 16 || function == 6;
  if (registers && address <= opt.ejector_register && opt.ejector_register < address + count)
    map->tab_bits[0] = map->tab_registers[opt.ejector_register] != 0;
  if (function == 5 || function == 15 || opt.ejector_register >= 0) add_edge(&coil, ns, map->tab_bits[0]);
  drive_valve(ns);
  if (!registers) return;
  // By the word that makes a block whole, because a master may write word by word.
  if (address <= STATUS + 1 && address + count > STATUS + 1) take_status(ns);
  if (address <= VERDICT + 11 && address + count > VERDICT + 11) take_verdict(ns);
}

// What a PLC does that starts its communication program anew with every master.
static void clear_registers(void) {
  pthread_mutex_lock(&program);
  memset(map->tab_registers, 0, PLC * sizeof(uint16_t));
  map->tab_bits[0] = 0;
  add_edge(&coil, now_ns(), false);
  pthread_mutex_unlock(&program);
}

static int64_t scan_due_ns;

// Every scan that was due, with the time at which it was: when the machine that plays the PLC stands still
// for some milliseconds, as virtual ones do, the valve opens where a PLC would have opened it.
static void run_scans(int64_t until_ns) {
  for (; scan_due_ns <= until_ns; scan_due_ns += opt.scan_ms * 1000000LL) {
    map->tab_registers[PLC]++;
    end_pulse(scan_due_ns);
    drive_valve(scan_due_ns);
    advance(scan_due_ns);
    refresh(scan_due_ns);
  }
}

static bool serve(void) {
  uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
  const int length = modbus_receive(link_, query);
  if (length < 0) return false;
  if (length == 0) return true;  // RTU: for another unit
  pthread_mutex_lock(&program);
  const int64_t ns = now_ns();
  run_scans(ns);
  drive_valve(ns);
  advance(ns);  // what this request changes holds from now on
  refresh(ns);
  const int header = modbus_get_header_length(link_);
  const bool refused = opt.refused >> (query[header] & 31) & 1;
  const bool answered = refused ? modbus_reply_exception(link_, query, MODBUS_EXCEPTION_ILLEGAL_FUNCTION) >= 0
                                : modbus_reply(link_, query, length, map) >= 0;
  if (answered && !refused) written(query, header, ns);
  pthread_mutex_unlock(&program);
  return answered;
}

// A thread of its own: a torn request keeps modbus_receive waiting for 50 ms, and no PLC waits for its
// network before it runs its program.
static void* run_program(void* unused) {
  while (!ending) {
    pthread_mutex_lock(&program);
    run_scans(now_ns());
    const struct timespec due = {scan_due_ns / SECOND, scan_due_ns % SECOND};
    pthread_mutex_unlock(&program);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  }
  return unused;
}

static struct timeval until_scan(void) { return (struct timeval){0, opt.scan_ms * 1000L / 2}; }

// Of every connection: when it was made, and when it last asked.
static struct {
  int64_t made_ns, asked_ns;
} masters[FD_SETSIZE];

static void wait_for_scan(void) {
  pthread_mutex_lock(&program);
  const struct timespec due = {scan_due_ns / SECOND, scan_due_ns % SECOND};
  pthread_mutex_unlock(&program);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

// Closes what has been idle for too long, and leaves out of `all` whose first answer is not due yet.
static fd_set listened_to(fd_set* all, int listener, int highest) {
  const int64_t ns = now_ns();
  fd_set some = *all;
  for (int fd = 0; fd <= highest; ++fd) {
    if (fd == listener || !FD_ISSET(fd, all)) continue;
    if (opt.idle_ms && ns > masters[fd].asked_ns + opt.idle_ms * 1000000LL) {
      close(fd);
      FD_CLR(fd, all);
    }
    if (!FD_ISSET(fd, all) || ns < masters[fd].made_ns + opt.first_answer_ms * 1000000LL) FD_CLR(fd, &some);
  }
  return some;
}

static bool is_taken(const fd_set* all, int listener, int highest) {
  for (int fd = 0; fd <= highest; ++fd)
    if (fd != listener && FD_ISSET(fd, all)) return true;
  return false;
}

static void run_tcp(int port) {
  link_ = modbus_new_tcp("127.0.0.1", port);
  modbus_set_indication_timeout(link_, 0, 50000);
  const int listener = modbus_tcp_listen(link_, MAX_MASTERS);
  if (listener < 0) {
    fprintf(stderr, "plc: cannot listen on port %d: %s\n", port, modbus_strerror(errno));
    exit(1);
  }
  struct sockaddr_storage name;
  socklen_t size = sizeof name;
  getsockname(listener, (struct sockaddr*)&name, &size);
  printf("ready port=%d\n", ((uint8_t*)&name)[2] << 8 | ((uint8_t*)&name)[3]);
  fflush(stdout);
  fd_set all;
  FD_ZERO(&all);
  FD_SET(listener, &all);
  int highest = listener;
  while (!ending) {
    if (opt.answer_at_scan) wait_for_scan();
    fd_set ready = listened_to(&all, listener, highest);
    struct timeval wait = opt.answer_at_scan ? (struct timeval){0, 0} : until_scan();
    const int some = select(highest + 1, &ready, NULL, NULL, &wait);
    for (int fd = 0; some > 0 && fd <= highest; ++fd) {
      if (!FD_ISSET(fd, &ready)) continue;
      if (fd == listener) {
        const int master = modbus_tcp_accept(link_, &(int){listener});
        if (master < 0) continue;
        if (opt.one_master && is_taken(&all, listener, highest)) {
          close(master);
          continue;
        }
        masters[master].made_ns = masters[master].asked_ns = now_ns();
        if (opt.clear) clear_registers();
        FD_SET(master, &all);
        if (master > highest) highest = master;
      } else {
        modbus_set_socket(link_, fd);
        masters[fd].asked_ns = now_ns();
        if (!serve()) {
          close(fd);
          FD_CLR(fd, &all);
        }
      }
    }
  }
}

// A pulled cable takes the device away: it is opened again when it is there.
static bool open_rtu(const char* device) {
  link_ = modbus_new_rtu(device, 115200, 'N', 8, 1);
  modbus_set_slave(link_, opt.unit);
  if (modbus_connect(link_) == 0) return true;
  modbus_free(link_);
  link_ = NULL;
  return false;
}

static void run_rtu(const char* device) {
  if (!open_rtu(device)) {
    fprintf(stderr, "plc: cannot open %s: %s\n", device, modbus_strerror(errno));
    exit(1);
  }
  printf("ready port=0\n");
  fflush(stdout);
  while (!ending) {
    struct timeval wait = until_scan();
    if (link_ == NULL && !open_rtu(device)) {
      select(0, NULL, NULL, NULL, &wait);
      continue;
    }
    const int fd = modbus_get_socket(link_);
    fd_set ready;
    FD_ZERO(&ready);
    FD_SET(fd, &ready);
    if (select(fd + 1, &ready, NULL, NULL, &wait) > 0 && !serve()) {
      if (errno == EIO || errno == ECONNRESET || access(device, F_OK) != 0) {
        modbus_close(link_);
        modbus_free(link_);
        link_ = NULL;
      } else {
        modbus_flush(link_);  // a broken frame is not answered
      }
    }
  }
}

// --- start and end
// ----------------------------------------------------------------------------------------------

static void write_out(void) {
  FILE* file = opt.out ? fopen(opt.out, "w") : NULL;
  if (!file) return;
  fprintf(file, "summary,%d,%u,%u,%u,%u,%lld\n", next_part, duplicates, gaps, torn, jumps,
          (long long)belt_start_ns);
  for (int i = 0; i < opt.parts; ++i) {
    const Part* p = &parts[i];
    fprintf(file, "part,%d,%.6f,%lld,%lld,%u,%u,%u,%u,%u,%u\n", i + 1, p->position_mm,
            (long long)p->crossing_ns, (long long)p->verdict_ns, p->records, p->verdict, p->late, p->bin,
            p->blown, p->diverted);
  }
  for (size_t i = 0; i < coil.count; ++i) {
    fprintf(file, "edge,%lld,%d,%.6f\n", (long long)coil.at[i].ns, coil.at[i].on, position_mm(coil.at[i].ns));
  }
  fclose(file);
}

static void end(int number) {
  (void)number;
  ending = 1;
}

int main(int argc, char** argv) {
  static const struct option long_options[] = {{"tcp", 1, 0, 't'},
                                               {"rtu", 1, 0, 'r'},
                                               {"unit", 1, 0, 'u'},
                                               {"mode", 1, 0, 'm'},
                                               {"parts", 1, 0, 'n'},
                                               {"pitch", 1, 0, 'p'},
                                               {"lead-in", 1, 0, 'l'},
                                               {"speed", 1, 0, 's'},
                                               {"ramp", 1, 0, 'a'},
                                               {"ramp-s", 1, 0, 'A'},
                                               {"encoder-start", 1, 0, 'e'},
                                               {"distance", 1, 0, 'd'},
                                               {"valve-lag", 1, 0, 'v'},
                                               {"pulse-ms", 1, 0, 'P'},
                                               {"scan-ms", 1, 0, 'S'},
                                               {"out", 1, 0, 'o'},
                                               {"encoder-fault", 1, 0, 'E'},
                                               {"fault-from", 1, 0, 'f'},
                                               {"fault-to", 1, 0, 'F'},
                                               {"refuse", 1, 0, 'x'},
                                               {"ejector-register", 1, 0, 'R'},
                                               {"clear", 0, 0, 'c'},
                                               {"first-answer-ms", 1, 0, 'F' + 128},
                                               {"answer-at-scan", 0, 0, 'A' + 128},
                                               {"one-master", 0, 0, 'O' + 128},
                                               {"idle-ms", 1, 0, 'I' + 128},
                                               {0, 0, 0, 0}};
  int port = -1;
  const char* device = NULL;
  for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
    switch (c) {
      case 't':
        port = atoi(optarg);
        break;
      case 'r':
        device = optarg;
        break;
      case 'u':
        opt.unit = atoi(optarg);
        break;
      case 'm':
        opt.tracked = strcmp(optarg, "tracked") == 0;
        break;
      case 'n':
        opt.parts = atoi(optarg);
        break;
      case 'p':
        opt.pitch_mm = atof(optarg);
        break;
      case 'l':
        opt.lead_in_mm = atof(optarg);
        break;
      case 's':
        opt.speed_m_per_s = atof(optarg);
        break;
      case 'a':
        opt.ramp = atof(optarg);
        break;
      case 'A':
        opt.ramp_s = atof(optarg);
        break;
      case 'e':
        opt.encoder_start = (uint32_t)strtoul(optarg, NULL, 10);
        break;
      case 'd':
        opt.distance_mm = atof(optarg);
        break;
      case 'v':
        opt.valve_lag_ms = atof(optarg);
        break;
      case 'P':
        opt.pulse_ms = atof(optarg);
        break;
      case 'S':
        opt.scan_ms = atoi(optarg);
        break;
      case 'o':
        opt.out = optarg;
        break;
      case 'E':
        opt.encoder_fault = optarg;
        break;
      case 'f':
        opt.fault_from_s = atof(optarg);
        break;
      case 'F':
        opt.fault_to_s = atof(optarg);
        break;
      case 'x':
        for (char* code = strtok(optarg, ","); code; code = strtok(NULL, ","))
          opt.refused |= 1u << atoi(code);
        break;
      case 'R':
        opt.ejector_register = atoi(optarg);
        break;
      case 'c':
        opt.clear = true;
        break;
      case 'F' + 128:
        opt.first_answer_ms = atoi(optarg);
        break;
      case 'A' + 128:
        opt.answer_at_scan = true;
        break;
      case 'O' + 128:
        opt.one_master = true;
        break;
      case 'I' + 128:
        opt.idle_ms = atoi(optarg);
        break;
      default:
        return 2;
    }
  }
  if ((port < 0) == (device == NULL)) {
    fprintf(stderr, "plc: give --tcp PORT or --rtu DEVICE\n");
    return 2;
  }
  map = modbus_mapping_new(COILS, 0, REGISTERS, 0);
  parts = calloc((size_t)opt.parts + 1, sizeof(Part));
  for (int i = 0; i < opt.parts; ++i) parts[i].position_mm = opt.lead_in_mm + i * opt.pitch_mm;
  program_start_ns = scan_due_ns = now_ns();
  // The machine that this one stands for does not share its processor with the line's; where permitted.
  sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 70});
  const struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  pthread_t thread;
  if (pthread_create(&thread, NULL, run_program, NULL) != 0) {
    fprintf(stderr, "plc: no thread for the program\n");
    return 1;
  }
  if (port >= 0) {
    run_tcp(port);
  } else {
    run_rtu(device);
  }
  pthread_join(thread, NULL);
  write_out();
  return 0;
}
