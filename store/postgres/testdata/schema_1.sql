SELECT pg_catalog.set_config('search_path', '', false);
CREATE SCHEMA bursar;
CREATE FUNCTION bursar.immutable() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TABLE bursar.addresses (
    id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    address text NOT NULL COLLATE pg_catalog."C",
    pool text NOT NULL COLLATE pg_catalog."C",
    address_index bigint NOT NULL,
    key_wallet text NOT NULL COLLATE pg_catalog."C",
    key_path text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL COLLATE pg_catalog."C",
    payment_id text NOT NULL COLLATE pg_catalog."C",
    customer text NOT NULL COLLATE pg_catalog."C",
    metadata jsonb,
    tokens_only boolean NOT NULL,
    idempotency_key text NOT NULL COLLATE pg_catalog."C",
    fingerprint text NOT NULL COLLATE pg_catalog."C",
    seq bigint NOT NULL,
    created_at timestamp with time zone,
    CONSTRAINT addresses_version_check CHECK ((version > 0))
);
CREATE TABLE bursar.attempt_locks (
    attempt_id text NOT NULL COLLATE pg_catalog."C",
    chain text NOT NULL COLLATE pg_catalog."C",
    lock text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE bursar.attempts (
    id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    payout_id text NOT NULL COLLATE pg_catalog."C",
    attempt_group bigint NOT NULL,
    chain text NOT NULL COLLATE pg_catalog."C",
    tx_id text NOT NULL COLLATE pg_catalog."C",
    raw bytea NOT NULL,
    locks json,
    max_fee numeric(78,0) NOT NULL,
    cancels boolean NOT NULL,
    is_open boolean NOT NULL,
    last_error text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone,
    sent_at timestamp with time zone,
    CONSTRAINT attempts_max_fee_check CHECK ((max_fee >= (0)::numeric)),
    CONSTRAINT attempts_version_check CHECK ((version > 0))
);
CREATE TABLE bursar.balances (
    asset text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL COLLATE pg_catalog."C",
    sum numeric(100,0) NOT NULL
);
CREATE TABLE bursar.chains (
    chain text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    recent json,
    head json,
    final_height bigint NOT NULL,
    genesis text NOT NULL COLLATE pg_catalog."C",
    halted text NOT NULL COLLATE pg_catalog."C",
    halted_at timestamp with time zone,
    halted_from bigint NOT NULL,
    seq bigint NOT NULL,
    assets json,
    started_at timestamp with time zone,
    updated_at timestamp with time zone,
    CONSTRAINT chains_version_check CHECK ((version > 0))
);
CREATE TABLE bursar.deliveries (
    event_id text NOT NULL COLLATE pg_catalog."C",
    endpoint text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    seq bigint NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    attempts bigint NOT NULL,
    next_at timestamp with time zone,
    leased_until timestamp with time zone,
    first_at timestamp with time zone,
    last_at timestamp with time zone,
    done_at timestamp with time zone,
    last_error text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone,
    tries text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT deliveries_version_check CHECK ((version > 0))
);
CREATE TABLE bursar.endpoints (
    id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    revision bigint NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    sealed bytea,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    CONSTRAINT endpoints_revision_check CHECK ((revision > 0)),
    CONSTRAINT endpoints_version_check CHECK ((version > 0))
);
CREATE TABLE bursar.entries (
    pos bigint NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    rule text NOT NULL COLLATE pg_catalog."C",
    asset text NOT NULL COLLATE pg_catalog."C",
    debit_account text NOT NULL COLLATE pg_catalog."C",
    credit_account text NOT NULL COLLATE pg_catalog."C",
    amount numeric(78,0) NOT NULL,
    subject text NOT NULL COLLATE pg_catalog."C",
    transaction_id text NOT NULL COLLATE pg_catalog."C",
    chain text NOT NULL COLLATE pg_catalog."C",
    height bigint NOT NULL,
    reverses text NOT NULL COLLATE pg_catalog."C",
    live_key text NOT NULL COLLATE pg_catalog."C",
    posted_at timestamp with time zone,
    reversed_by text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT entries_amount_check CHECK (((amount >= (0)::numeric) AND (amount > (0)::numeric))),
    CONSTRAINT entries_check CHECK ((debit_account <> credit_account)),
    CONSTRAINT entries_id_check CHECK ((id <> ''::text))
);
ALTER TABLE bursar.entries ALTER COLUMN pos ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME bursar.entries_pos_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE bursar.events (
    pos bigint NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    seq bigint NOT NULL,
    occurred_at timestamp with time zone,
    livemode boolean NOT NULL,
    data json,
    CONSTRAINT events_id_check CHECK ((id <> ''::text)),
    CONSTRAINT events_seq_check CHECK ((seq > 0))
);
ALTER TABLE bursar.events ALTER COLUMN pos ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME bursar.events_pos_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE bursar.facts (
    name text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE bursar.leases (
    name text NOT NULL COLLATE pg_catalog."C",
    holder text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT leases_epoch_check CHECK ((epoch > 0))
);
CREATE TABLE bursar.locks (
    chain text NOT NULL COLLATE pg_catalog."C",
    lock text NOT NULL COLLATE pg_catalog."C",
    payout_id text NOT NULL COLLATE pg_catalog."C",
    attempt_group bigint NOT NULL
);
CREATE TABLE bursar.migrating (
    turn integer NOT NULL
);
CREATE TABLE bursar.migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE bursar.payments (
    id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    livemode boolean NOT NULL,
    asset json,
    amount numeric(78,0) NOT NULL,
    required numeric(78,0) NOT NULL,
    received numeric(78,0) NOT NULL,
    confirmed numeric(78,0) NOT NULL,
    shortfall numeric(78,0) NOT NULL,
    excess numeric(78,0) NOT NULL,
    held numeric(78,0) NOT NULL,
    refunded numeric(78,0) NOT NULL,
    refunding numeric(78,0) NOT NULL,
    required_confirmations bigint NOT NULL,
    confirmations bigint NOT NULL,
    block bigint NOT NULL,
    is_final boolean NOT NULL,
    address text NOT NULL COLLATE pg_catalog."C",
    address_id text NOT NULL COLLATE pg_catalog."C",
    uri text NOT NULL COLLATE pg_catalog."C",
    metadata jsonb,
    idempotency_key text NOT NULL COLLATE pg_catalog."C",
    fingerprint text NOT NULL COLLATE pg_catalog."C",
    customer text NOT NULL COLLATE pg_catalog."C",
    attempt bigint NOT NULL,
    previous text NOT NULL COLLATE pg_catalog."C",
    next text NOT NULL COLLATE pg_catalog."C",
    late boolean NOT NULL,
    accepted boolean NOT NULL,
    accept_keys json,
    failure_reason text NOT NULL COLLATE pg_catalog."C",
    confirmation_no bigint NOT NULL,
    settle_no bigint NOT NULL,
    policy json,
    ttl bigint NOT NULL,
    hold_until timestamp with time zone,
    deadline timestamp with time zone,
    posted_paid numeric(78,0) NOT NULL,
    posted_excess numeric(78,0) NOT NULL,
    reported_excess numeric(78,0) NOT NULL,
    sweep_fee numeric(78,0) NOT NULL,
    seq bigint NOT NULL,
    created_at timestamp with time zone,
    expires_at timestamp with time zone,
    seen_at timestamp with time zone,
    detected_at timestamp with time zone,
    confirmed_at timestamp with time zone,
    settled_at timestamp with time zone,
    expired_at timestamp with time zone,
    canceled_at timestamp with time zone,
    asset_id text NOT NULL COLLATE pg_catalog."C",
    chain text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT payments_amount_check CHECK ((amount >= (0)::numeric)),
    CONSTRAINT payments_confirmed_check CHECK ((confirmed >= (0)::numeric)),
    CONSTRAINT payments_excess_check CHECK ((excess >= (0)::numeric)),
    CONSTRAINT payments_held_check CHECK ((held >= (0)::numeric)),
    CONSTRAINT payments_posted_excess_check CHECK ((posted_excess >= (0)::numeric)),
    CONSTRAINT payments_posted_paid_check CHECK ((posted_paid >= (0)::numeric)),
    CONSTRAINT payments_received_check CHECK ((received >= (0)::numeric)),
    CONSTRAINT payments_refunded_check CHECK ((refunded >= (0)::numeric)),
    CONSTRAINT payments_refunding_check CHECK ((refunding >= (0)::numeric)),
    CONSTRAINT payments_reported_excess_check CHECK ((reported_excess >= (0)::numeric)),
    CONSTRAINT payments_required_check CHECK ((required >= (0)::numeric)),
    CONSTRAINT payments_shortfall_check CHECK ((shortfall >= (0)::numeric)),
    CONSTRAINT payments_sweep_fee_check CHECK ((sweep_fee >= (0)::numeric)),
    CONSTRAINT payments_version_check CHECK ((version > 0))
);
CREATE TABLE bursar.payouts (
    id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL COLLATE pg_catalog."C",
    chain text NOT NULL COLLATE pg_catalog."C",
    asset json,
    from_account json,
    to_address text NOT NULL COLLATE pg_catalog."C",
    own_key json,
    sources json,
    amount numeric(78,0) NOT NULL,
    less_fee boolean NOT NULL,
    moved numeric(78,0) NOT NULL,
    max_fee numeric(78,0) NOT NULL,
    items json,
    parent text NOT NULL COLLATE pg_catalog."C",
    approval json,
    attempt_group bigint NOT NULL,
    tries bigint NOT NULL,
    urged bigint NOT NULL,
    canceling boolean NOT NULL,
    tx_id text NOT NULL COLLATE pg_catalog."C",
    block bigint NOT NULL,
    block_hash text NOT NULL COLLATE pg_catalog."C",
    tx_index bigint NOT NULL,
    fee numeric(78,0) NOT NULL,
    gas_used bigint NOT NULL,
    gas_price numeric(78,0) NOT NULL,
    failure_code text NOT NULL COLLATE pg_catalog."C",
    failure_reason text NOT NULL COLLATE pg_catalog."C",
    not_before timestamp with time zone,
    failures bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamp with time zone,
    sent_at timestamp with time zone,
    included_at timestamp with time zone,
    confirmed_at timestamp with time zone,
    is_open boolean NOT NULL,
    CONSTRAINT payouts_amount_check CHECK ((amount >= (0)::numeric)),
    CONSTRAINT payouts_fee_check CHECK ((fee >= (0)::numeric)),
    CONSTRAINT payouts_gas_price_check CHECK ((gas_price >= (0)::numeric)),
    CONSTRAINT payouts_max_fee_check CHECK ((max_fee >= (0)::numeric)),
    CONSTRAINT payouts_moved_check CHECK ((moved >= (0)::numeric)),
    CONSTRAINT payouts_version_check CHECK ((version > 0))
);
CREATE TABLE bursar.pools (
    name text NOT NULL COLLATE pg_catalog."C",
    next bigint NOT NULL,
    CONSTRAINT pools_next_check CHECK (((next >= 0) AND (next <= '2147483648'::bigint)))
);
CREATE TABLE bursar.transactions (
    id text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    chain text NOT NULL COLLATE pg_catalog."C",
    tx_hash text NOT NULL COLLATE pg_catalog."C",
    tx_ordinal text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    purpose text NOT NULL COLLATE pg_catalog."C",
    via text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL COLLATE pg_catalog."C",
    failure_reason text NOT NULL COLLATE pg_catalog."C",
    replaced_by text NOT NULL COLLATE pg_catalog."C",
    asset text NOT NULL COLLATE pg_catalog."C",
    amount numeric(78,0) NOT NULL,
    from_address text NOT NULL COLLATE pg_catalog."C",
    to_address text NOT NULL COLLATE pg_catalog."C",
    address_id text NOT NULL COLLATE pg_catalog."C",
    payment_id text NOT NULL COLLATE pg_catalog."C",
    customer text NOT NULL COLLATE pg_catalog."C",
    payout_id text NOT NULL COLLATE pg_catalog."C",
    fee numeric(78,0) NOT NULL,
    gas_used bigint NOT NULL,
    gas_price numeric(78,0) NOT NULL,
    tx_lock text NOT NULL COLLATE pg_catalog."C",
    block bigint NOT NULL,
    block_hash text NOT NULL COLLATE pg_catalog."C",
    block_time timestamp with time zone,
    tx_index bigint NOT NULL,
    required bigint NOT NULL,
    confirm_at bigint NOT NULL,
    is_final boolean NOT NULL,
    inclusion bigint NOT NULL,
    counting boolean NOT NULL,
    late boolean NOT NULL,
    suspense boolean NOT NULL,
    accepted boolean NOT NULL,
    discharged numeric(78,0) NOT NULL,
    reserved numeric(78,0) NOT NULL,
    missed bigint NOT NULL,
    created_at timestamp with time zone,
    seen_at timestamp with time zone,
    confirmed_at timestamp with time zone,
    sweepable boolean NOT NULL,
    CONSTRAINT transactions_amount_check CHECK ((amount >= (0)::numeric)),
    CONSTRAINT transactions_discharged_check CHECK ((discharged >= (0)::numeric)),
    CONSTRAINT transactions_fee_check CHECK ((fee >= (0)::numeric)),
    CONSTRAINT transactions_gas_price_check CHECK ((gas_price >= (0)::numeric)),
    CONSTRAINT transactions_reserved_check CHECK ((reserved >= (0)::numeric)),
    CONSTRAINT transactions_version_check CHECK ((version > 0))
);
INSERT INTO bursar.addresses VALUES ('text 112 '' " \ é €', 1, 'text 114 '' " \ é €', 'text 115 '' " \ é €', 116, 'text 118 '' " \ é €', 'text 119 '' " \ é €', 'text 120 '' " \ é €', 'text 121 '' " \ é €', 'text 122 '' " \ é €', '{"order": "123"}', true, 'text 125 '' " \ é €', 'text 126 '' " \ é €', 127, '2024-02-29 23:59:58.123584+00');
INSERT INTO bursar.addresses VALUES ('addr_pay', 1, '0xpay', '60/0', 0, '', '', 'payment', 'pay', '', NULL, false, '', '', 0, '2024-02-29 23:59:58.123456+00');
INSERT INTO bursar.attempt_locks VALUES ('text 207 '' " \ é €', 'text 211 '' " \ é €', 'text 216 '' " \ é €');
INSERT INTO bursar.attempt_locks VALUES ('try', 'eip155:1', 'nonce:1');
INSERT INTO bursar.attempt_locks VALUES ('try', 'eip155:1', 'nonce:2');
INSERT INTO bursar.attempts VALUES ('text 207 '' " \ é €', 1, 'text 209 '' " \ é €', 210, 'text 211 '' " \ é €', 'text 212 '' " \ é €', '\xd6', '["text 216 '' \" \\ é €"]', 217, true, true, 'text 220 '' " \ é €', '2024-02-29 23:59:58.123677+00', '2024-02-29 23:59:58.123678+00');
INSERT INTO bursar.attempts VALUES ('try', 1, 'out', 1, 'eip155:1', '0x1', '\x01', '["nonce:1","nonce:2"]', 0, false, true, '', '2024-02-29 23:59:58.123456+00', NULL);
INSERT INTO bursar.balances VALUES ('text 289 '' " \ é €', 'text 290 '' " \ é €', 292);
INSERT INTO bursar.balances VALUES ('text 289 '' " \ é €', 'text 291 '' " \ é €', -292);
INSERT INTO bursar.balances VALUES ('eip155:1/slip44:60', 'U:h', 0);
INSERT INTO bursar.balances VALUES ('eip155:1/slip44:60', 'pending:p', 0);
INSERT INTO bursar.chains VALUES ('eip155:1', 2, '[{"height":245,"hash":"text 246 '' \" \\ é €","parent":"text 247 '' \" \\ é €","time":"2024-02-29T23:59:58.123704Z"}]', '{"height":250,"hash":"text 251 '' \" \\ é €","parent":"text 252 '' \" \\ é €","time":"2024-02-29T23:59:58.123709Z"}', 7, 'text 255 '' " \ é €', 'text 256 '' " \ é €', '2024-02-29 23:59:58.123713+00', 7, 259, '[{"asset":{"id":"text 263 '' \" \\ é €","symbol":"text 264 '' \" \\ é €","decimals":14,"contract":"text 266 '' \" \\ é €","minimum":"267","sweep_minimum":"268","verify_balance":true,"code_hash":"text 270 '' \" \\ é €","max_sweep_fee":"271"},"added":true,"disabled":true,"since":23}]', '2024-02-29 23:59:58.123731+00', '2024-02-29 23:59:58.123456+00');
INSERT INTO bursar.deliveries VALUES ('text 224 '' " \ é €', 'text 225 '' " \ é €', 1, 'text 227 '' " \ é €', 'text 228 '' " \ é €', 229, 'text 230 '' " \ é €', 231, '2024-02-29 23:59:58.123688+00', '2024-02-29 23:59:58.123689+00', '2024-02-29 23:59:58.12369+00', '2024-02-29 23:59:58.123691+00', '2024-02-29 23:59:58.123692+00', 'text 237 '' " \ é €', '2024-02-29 23:59:58.123694+00', 'text 239 '' " \ é €');
INSERT INTO bursar.deliveries VALUES ('evt_pay_2', 'shop', 1, '', 'pay', 2, 'pending', 0, '2024-02-29 23:59:58.123456+00', NULL, NULL, NULL, NULL, '', NULL, '');
INSERT INTO bursar.deliveries VALUES ('evt_pay_1', 'shop', 2, '', 'pay', 1, 'pending', 1, '2024-02-29 23:59:59.123456+00', '2024-02-29 23:59:58.123456+00', NULL, NULL, NULL, '', NULL, '');
INSERT INTO bursar.deliveries VALUES ('evt_b_1', 'shop', 2, '', 'b', 1, 'pending', 1, '2024-02-29 23:59:59.123456+00', '2024-02-29 23:59:58.123456+00', NULL, NULL, NULL, '', NULL, '');
INSERT INTO bursar.deliveries VALUES ('evt_c_1', 'shop', 2, '', 'c', 1, 'pending', 1, '2024-02-29 23:59:59.123456+00', '2024-02-29 23:59:58.123456+00', NULL, NULL, NULL, '', NULL, '');
INSERT INTO bursar.deliveries VALUES ('evt_d_1', 'shop', 2, '', 'd', 1, 'pending', 1, '2024-02-29 23:59:59.123456+00', '2024-02-29 23:59:58.123456+00', NULL, NULL, NULL, '', NULL, '');
INSERT INTO bursar.deliveries VALUES ('evt_e_1', 'shop', 2, '', 'e', 1, 'pending', 1, '2024-02-29 23:59:59.123456+00', '2024-02-29 23:59:58.123456+00', NULL, NULL, NULL, '', NULL, '');
INSERT INTO bursar.endpoints VALUES ('text 278 '' " \ é €', 1, 280, 'text 281 '' " \ é €', '\x20', '2024-02-29 23:59:58.12374+00', '2024-02-29 23:59:58.123741+00');
INSERT INTO bursar.entries OVERRIDING SYSTEM VALUE VALUES (1, 'text 287 '' " \ é €', 'text 288 '' " \ é €', 'text 289 '' " \ é €', 'text 290 '' " \ é €', 'text 291 '' " \ é €', 292, 'text 293 '' " \ é €', 'text 294 '' " \ é €', 'text 295 '' " \ é €', 45, '', 'golden live', '2024-02-29 23:59:58.123755+00', '');
INSERT INTO bursar.entries OVERRIDING SYSTEM VALUE VALUES (3, 'e2', 'L1', 'eip155:1/slip44:60', 'pending:p', 'U:h', 7, 'p', '', 'eip155:1', 0, 'e1', '', '2024-02-29 23:59:58.123456+00', '');
INSERT INTO bursar.entries OVERRIDING SYSTEM VALUE VALUES (2, 'e1', 'L1', 'eip155:1/slip44:60', 'U:h', 'pending:p', 7, 'p', '', 'eip155:1', 0, '', 'live', '2024-02-29 23:59:58.123456+00', 'e2');
INSERT INTO bursar.events OVERRIDING SYSTEM VALUE VALUES (1, 'text 301 '' " \ é €', 'text 302 '' " \ é €', 'text 303 '' " \ é €', 1, '2024-02-29 23:59:58.123761+00', true, '{"subject":"text 308 '' \" \\ é €","payment_id":"text 309 '' \" \\ é €","status":"text 310 '' \" \\ é €","from":"text 311 '' \" \\ é €","chain":"text 312 '' \" \\ é €","asset":"text 313 '' \" \\ é €","token_id":"text 314 '' \" \\ é €","address":"text 315 '' \" \\ é €","address_id":"text 316 '' \" \\ é €","customer":"text 317 '' \" \\ é €","amount":"text 318 '' \" \\ é €","required":"text 319 '' \" \\ é €","received":"text 320 '' \" \\ é €","confirmed":"text 321 '' \" \\ é €","shortfall":"text 322 '' \" \\ é €","excess":"text 323 '' \" \\ é €","held":"text 324 '' \" \\ é €","refunded":"text 325 '' \" \\ é €","confirmation_no":326,"late":true,"accepted":true,"reason":"text 329 '' \" \\ é €","metadata":{"order":"330"},"expires_at":"text 331 '' \" \\ é €","gross":"text 332 '' \" \\ é €","fee_share":"text 333 '' \" \\ é €","net":"text 334 '' \" \\ é €","transaction":{"id":"text 337 '' \" \\ é €","hash":"text 338 '' \" \\ é €","type":"text 339 '' \" \\ é €","via":"text 340 '' \" \\ é €","status":"text 341 '' \" \\ é €","asset":"text 342 '' \" \\ é €","token_id":"text 343 '' \" \\ é €","amount":"text 344 '' \" \\ é €","from_address":"text 345 '' \" \\ é €","to_address":"text 346 '' \" \\ é €","block_number":96,"block_hash":"text 348 '' \" \\ é €","confirmations":98,"inclusion":350,"failure_reason":"text 351 '' \" \\ é €","replaced_by":"text 352 '' \" \\ é €"},"payout":{"id":"text 355 '' \" \\ é €","kind":"text 356 '' \" \\ é €","status":"text 357 '' \" \\ é €","asset":"text 358 '' \" \\ é €","token_id":"text 359 '' \" \\ é €","amount":"text 360 '' \" \\ é €","moved":"text 361 '' \" \\ é €","from_address":"text 362 '' \" \\ é €","sources":363,"to_address":"text 364 '' \" \\ é €","tx_id":"text 365 '' \" \\ é €","fee":"text 366 '' \" \\ é €","gas_used":116,"block_number":117,"code":"text 369 '' \" \\ é €","reason":"text 370 '' \" \\ é €"},"restore":{"written":"text 373 '' \" \\ é €","here":"text 374 '' \" \\ é €","pools":[{"pool":"text 377 '' \" \\ é €","reason":"text 378 '' \" \\ é €","from":128,"to":129}]},"condition":{"kind":"text 383 '' \" \\ é €","provider":"text 384 '' \" \\ é €","operator":"text 385 '' \" \\ é €","fault":"text 386 '' \" \\ é €","since":"text 387 '' \" \\ é €","until":"text 388 '' \" \\ é €","times":138},"height":139,"depth":140}');
INSERT INTO bursar.events OVERRIDING SYSTEM VALUE VALUES (2, 'evt_pay_1', 'payment.detected', 'pay', 1, '2024-02-29 23:59:58.123456+00', false, '{}');
INSERT INTO bursar.events OVERRIDING SYSTEM VALUE VALUES (3, 'evt_pay_2', 'payment.detected', 'pay', 2, '2024-02-29 23:59:58.123456+00', false, '{}');
INSERT INTO bursar.facts VALUES ('origin', '7711114093223741168/00000001/16384/16557');
INSERT INTO bursar.leases VALUES ('golden', 'old', 1, '2026-11-22 21:40:59.10416+00');
INSERT INTO bursar.locks VALUES ('text 211 '' " \ é €', 'text 216 '' " \ é €', 'text 209 '' " \ é €', 210);
INSERT INTO bursar.locks VALUES ('eip155:1', 'nonce:1', 'out', 1);
INSERT INTO bursar.locks VALUES ('eip155:1', 'nonce:2', 'out', 1);
INSERT INTO bursar.migrating VALUES (1);
INSERT INTO bursar.migrations VALUES (1, 'tables', 'fa64e011f8b8b2cf', '2026-11-22 21:40:58.96996+00');
INSERT INTO bursar.payments VALUES ('text 2 '' " \ é €', 1, 'text 4 '' " \ é €', true, '{"id":"text 7 '' \" \\ é €","symbol":"text 8 '' \" \\ é €","decimals":9,"contract":"text 10 '' \" \\ é €","minimum":"11","sweep_minimum":"12","verify_balance":true,"code_hash":"text 14 '' \" \\ é €","max_sweep_fee":"15"}', 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, true, 'text 29 '' " \ é €', 'text 30 '' " \ é €', 'text 31 '' " \ é €', '{"order": "32"}', 'text 33 '' " \ é €', 'text 34 '' " \ é €', 'text 35 '' " \ é €', 36, 'text 37 '' " \ é €', 'text 38 '' " \ é €', true, true, '["text 42 '' \" \\ é €"]', 'text 43 '' " \ é €', 44, 45, '{"tolerance":"47","tolerance_bps":48,"grace":49,"overpaid_min":"50","final":true}', 52, '2024-02-29 23:59:58.123509+00', '2024-02-29 23:59:58.12351+00', 55, 56, 57, 58, 59, '2024-02-29 23:59:58.123516+00', '2024-02-29 23:59:58.123517+00', '2024-02-29 23:59:58.123518+00', '2024-02-29 23:59:58.123519+00', '2024-02-29 23:59:58.12352+00', '2024-02-29 23:59:58.123521+00', '2024-02-29 23:59:58.123522+00', '2024-02-29 23:59:58.123523+00', 'text 7 '' " \ é €', 'text 7 '' " \ é €');
INSERT INTO bursar.payments VALUES ('pay', 2, 'detected', false, '{"id":"eip155:1/slip44:60","symbol":"ETH","decimals":18,"minimum":"0","sweep_minimum":"0","max_sweep_fee":"0"}', 100, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, '0xpay', 'addr_pay', '', '{"order": "pay"}', 'key_pay', '', '', 1, '', '', false, false, NULL, '', 0, 0, '{"tolerance":"0","tolerance_bps":0,"grace":0,"overpaid_min":"0"}', 3600000000000, NULL, NULL, 0, 0, 0, 0, 2, '2024-02-29 23:59:58.123456+00', '2024-03-01 00:59:58.123456+00', NULL, NULL, NULL, NULL, NULL, NULL, 'eip155:1/slip44:60', 'eip155:1');
INSERT INTO bursar.payouts VALUES ('text 130 '' " \ é €', 1, 'text 132 '' " \ é €', 'text 133 '' " \ é €', 'text 134 '' " \ é €', 'text 135 '' " \ é €', '{"id":"text 137 '' \" \\ é €","symbol":"text 138 '' \" \\ é €","decimals":139,"contract":"text 140 '' \" \\ é €","minimum":"141","sweep_minimum":"142","verify_balance":true,"code_hash":"text 144 '' \" \\ é €","max_sweep_fee":"145"}', '{"address":"text 147 '' \" \\ é €","key":{"wallet":"text 149 '' \" \\ é €","path":"text 150 '' \" \\ é €"}}', 'text 151 '' " \ é €', '{"wallet":"text 154 '' \" \\ é €","path":"text 155 '' \" \\ é €"}', '[{"account":{"address":"text 159 '' \" \\ é €","key":{"wallet":"text 161 '' \" \\ é €","path":"text 162 '' \" \\ é €"}},"amount":"163","moved":"164"}]', 165, true, 167, 168, '[{"transaction_id":"text 171 '' \" \\ é €","payment_id":"text 172 '' \" \\ é €","from":"text 173 '' \" \\ é €","amount":"174","fee_share":"175"}]', 'text 176 '' " \ é €', '{"payout":"text 179 '' \" \\ é €","asset":"text 180 '' \" \\ é €","to":"text 181 '' \" \\ é €","amount":"182","not_after":"2024-02-29T23:59:58.123639Z","signature":"uQ=="}', 186, 187, 188, true, 'text 190 '' " \ é €', 191, 'text 192 '' " \ é €', 193, 194, 195, 196, 'text 197 '' " \ é €', 'text 198 '' " \ é €', '2024-02-29 23:59:58.123655+00', 200, 201, '2024-02-29 23:59:58.123658+00', '2024-02-29 23:59:58.123659+00', '2024-02-29 23:59:58.12366+00', '2024-02-29 23:59:58.123661+00', true);
INSERT INTO bursar.payouts VALUES ('out', 1, 'k', 'sweep', 'planned', 'eip155:1', '{"id":"","symbol":"","decimals":0,"minimum":"0","sweep_minimum":"0","max_sweep_fee":"0"}', '{"address":"","key":{"wallet":"","path":""}}', '', NULL, NULL, 0, false, 0, 0, NULL, '', NULL, 0, 0, 0, false, '', 0, '', 0, 0, 0, 0, '', '', NULL, 0, 0, '2024-02-29 23:59:58.123456+00', NULL, NULL, NULL, true);
INSERT INTO bursar.pools VALUES ('golden', 5);
INSERT INTO bursar.transactions VALUES ('text 69 '' " \ é €', 1, 'text 71 '' " \ é €', 'text 73 '' " \ é €', 'text 74 '' " \ é €', 'text 75 '' " \ é €', 'text 76 '' " \ é €', 'text 77 '' " \ é €', 'text 78 '' " \ é €', 'text 79 '' " \ é €', 'text 80 '' " \ é €', 'text 81 '' " \ é €', 82, 'text 83 '' " \ é €', 'text 84 '' " \ é €', 'text 85 '' " \ é €', 'text 86 '' " \ é €', 'text 87 '' " \ é €', 'text 88 '' " \ é €', 89, 90, 91, 'text 92 '' " \ é €', 93, 'text 94 '' " \ é €', '2024-02-29 23:59:58.123551+00', 96, 97, 98, true, 100, true, true, true, true, 105, 106, 107, '2024-02-29 23:59:58.123564+00', '2024-02-29 23:59:58.123565+00', '2024-02-29 23:59:58.123566+00', false);
INSERT INTO bursar.transactions VALUES ('tx', 1, 'eip155:1', '0xtx', 'n', 'incoming', '', '', 'confirming', '', '', 'eip155:1/slip44:60', 100, '', '0xpay', '', 'pay', '', '', 0, 0, 0, '', 0, '', NULL, 0, 0, 0, false, 0, false, false, false, false, 0, 0, 0, '2024-02-29 23:59:58.123456+00', NULL, NULL, false);
SELECT pg_catalog.setval('bursar.entries_pos_seq', 3, true);
SELECT pg_catalog.setval('bursar.events_pos_seq', 3, true);
ALTER TABLE ONLY bursar.addresses
    ADD CONSTRAINT addresses_pkey PRIMARY KEY (id);
ALTER TABLE ONLY bursar.attempt_locks
    ADD CONSTRAINT attempt_locks_pkey PRIMARY KEY (attempt_id, chain, lock);
ALTER TABLE ONLY bursar.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY bursar.balances
    ADD CONSTRAINT balances_pkey PRIMARY KEY (asset, account);
ALTER TABLE ONLY bursar.chains
    ADD CONSTRAINT chains_pkey PRIMARY KEY (chain);
ALTER TABLE ONLY bursar.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (event_id, endpoint);
ALTER TABLE ONLY bursar.endpoints
    ADD CONSTRAINT endpoints_pkey PRIMARY KEY (id);
ALTER TABLE ONLY bursar.endpoints
    ADD CONSTRAINT endpoints_revision_key UNIQUE (revision);
ALTER TABLE ONLY bursar.entries
    ADD CONSTRAINT entries_id_key UNIQUE (id);
ALTER TABLE ONLY bursar.entries
    ADD CONSTRAINT entries_pkey PRIMARY KEY (pos);
ALTER TABLE ONLY bursar.events
    ADD CONSTRAINT events_id_key UNIQUE (id);
ALTER TABLE ONLY bursar.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (pos);
ALTER TABLE ONLY bursar.events
    ADD CONSTRAINT events_subject_seq_key UNIQUE (subject, seq);
ALTER TABLE ONLY bursar.facts
    ADD CONSTRAINT facts_pkey PRIMARY KEY (name);
ALTER TABLE ONLY bursar.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (name);
ALTER TABLE ONLY bursar.locks
    ADD CONSTRAINT locks_pkey PRIMARY KEY (chain, lock);
ALTER TABLE ONLY bursar.migrating
    ADD CONSTRAINT migrating_pkey PRIMARY KEY (turn);
ALTER TABLE ONLY bursar.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY bursar.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (id);
ALTER TABLE ONLY bursar.payouts
    ADD CONSTRAINT payouts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY bursar.pools
    ADD CONSTRAINT pools_pkey PRIMARY KEY (name);
ALTER TABLE ONLY bursar.transactions
    ADD CONSTRAINT transactions_chain_tx_hash_tx_ordinal_key UNIQUE (chain, tx_hash, tx_ordinal);
ALTER TABLE ONLY bursar.transactions
    ADD CONSTRAINT transactions_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX addresses_address ON bursar.addresses USING btree (address) WHERE (address <> ''::text);
CREATE INDEX addresses_customer ON bursar.addresses USING btree (customer, pool, address_index, id) WHERE (customer <> ''::text);
CREATE UNIQUE INDEX addresses_idempotency_key ON bursar.addresses USING btree (idempotency_key) WHERE (idempotency_key <> ''::text);
CREATE INDEX addresses_pool ON bursar.addresses USING btree (pool, address_index, id);
CREATE INDEX addresses_role ON bursar.addresses USING btree (role, pool, address_index, id) WHERE (role <> 'payment'::text);
CREATE INDEX attempt_locks_lock ON bursar.attempt_locks USING btree (lock, chain);
CREATE INDEX attempts_open ON bursar.attempts USING btree (chain, created_at, id) WHERE is_open;
CREATE INDEX attempts_payout ON bursar.attempts USING btree (payout_id, created_at, id);
CREATE INDEX attempts_tx ON bursar.attempts USING btree (tx_id);
CREATE INDEX balances_account ON bursar.balances USING btree (account);
CREATE INDEX deliveries_done ON bursar.deliveries USING btree (done_at) WHERE (done_at IS NOT NULL);
CREATE INDEX deliveries_due ON bursar.deliveries USING btree (endpoint, next_at, subject, seq, event_id) WHERE (status = ANY (ARRAY['pending'::text, 'parked'::text]));
CREATE INDEX deliveries_lane ON bursar.deliveries USING btree (endpoint, subject, seq, event_id) WHERE (status = 'pending'::text);
CREATE INDEX deliveries_status ON bursar.deliveries USING btree (status, created_at);
CREATE INDEX entries_asset ON bursar.entries USING btree (asset, pos);
CREATE UNIQUE INDEX entries_live ON bursar.entries USING btree (live_key) WHERE ((live_key <> ''::text) AND (reverses = ''::text) AND (reversed_by = ''::text));
CREATE INDEX entries_subject ON bursar.entries USING btree (subject, pos);
CREATE INDEX entries_transaction ON bursar.entries USING btree (transaction_id, pos) WHERE (transaction_id <> ''::text);
CREATE UNIQUE INDEX payments_address ON bursar.payments USING btree (address) WHERE (address <> ''::text);
CREATE INDEX payments_asset ON bursar.payments USING btree (asset_id, created_at, id);
CREATE INDEX payments_created ON bursar.payments USING btree (created_at, id);
CREATE INDEX payments_customer ON bursar.payments USING btree (customer, created_at, id) WHERE (customer <> ''::text);
CREATE INDEX payments_due ON bursar.payments USING btree (chain, deadline, id) WHERE (deadline IS NOT NULL);
CREATE UNIQUE INDEX payments_idempotency_key ON bursar.payments USING btree (idempotency_key) WHERE (idempotency_key <> ''::text);
CREATE INDEX payments_metadata ON bursar.payments USING gin (metadata jsonb_path_ops) WHERE (metadata IS NOT NULL);
CREATE INDEX payments_status ON bursar.payments USING btree (status, created_at, id);
CREATE INDEX payouts_block ON bursar.payouts USING btree (block_hash) WHERE (block_hash <> ''::text);
CREATE INDEX payouts_created ON bursar.payouts USING btree (created_at, id);
CREATE UNIQUE INDEX payouts_key ON bursar.payouts USING btree (key) WHERE (key <> ''::text);
CREATE INDEX payouts_open ON bursar.payouts USING btree (chain, created_at, id) WHERE is_open;
CREATE INDEX payouts_parent ON bursar.payouts USING btree (parent) WHERE (parent <> ''::text);
CREATE INDEX payouts_status ON bursar.payouts USING btree (status, created_at, id);
CREATE INDEX payouts_tx ON bursar.payouts USING btree (tx_id) WHERE (tx_id <> ''::text);
CREATE INDEX transactions_address_id ON bursar.transactions USING btree (address_id, created_at, id) WHERE (address_id <> ''::text);
CREATE INDEX transactions_asset ON bursar.transactions USING btree (asset, created_at, id);
CREATE INDEX transactions_block ON bursar.transactions USING btree (block_hash) WHERE (status = ANY (ARRAY['confirming'::text, 'confirmed'::text]));
CREATE INDEX transactions_chain ON bursar.transactions USING btree (chain, created_at, id);
CREATE INDEX transactions_confirm ON bursar.transactions USING btree (chain, confirm_at) WHERE (status = 'confirming'::text);
CREATE INDEX transactions_created ON bursar.transactions USING btree (created_at, id);
CREATE INDEX transactions_final ON bursar.transactions USING btree (chain, block) WHERE ((status = 'confirmed'::text) AND (NOT is_final));
CREATE INDEX transactions_from_address ON bursar.transactions USING btree (from_address, created_at, id) WHERE (from_address <> ''::text);
CREATE INDEX transactions_hash ON bursar.transactions USING btree (tx_hash);
CREATE INDEX transactions_payment_id ON bursar.transactions USING btree (payment_id, created_at, id) WHERE (payment_id <> ''::text);
CREATE INDEX transactions_payout_id ON bursar.transactions USING btree (payout_id, created_at, id) WHERE (payout_id <> ''::text);
CREATE INDEX transactions_status ON bursar.transactions USING btree (status, created_at, id);
CREATE INDEX transactions_sweepable ON bursar.transactions USING btree (chain, created_at, id) WHERE sweepable;
CREATE INDEX transactions_to_address ON bursar.transactions USING btree (to_address, created_at, id) WHERE (to_address <> ''::text);
CREATE INDEX transactions_type ON bursar.transactions USING btree (type, created_at, id);
CREATE TRIGGER entries_immutable BEFORE UPDATE OF pos, id, rule, asset, debit_account, credit_account, amount, subject, transaction_id, chain, height, reverses, live_key, posted_at ON bursar.entries FOR EACH ROW EXECUTE FUNCTION bursar.immutable();
CREATE TRIGGER entries_kept BEFORE DELETE ON bursar.entries FOR EACH ROW EXECUTE FUNCTION bursar.immutable();
CREATE TRIGGER entries_never_emptied BEFORE TRUNCATE ON bursar.entries FOR EACH STATEMENT EXECUTE FUNCTION bursar.immutable();
CREATE TRIGGER entries_reversed_once BEFORE UPDATE OF reversed_by ON bursar.entries FOR EACH ROW WHEN ((old.reversed_by <> ''::text)) EXECUTE FUNCTION bursar.immutable();
CREATE TRIGGER events_immutable BEFORE DELETE OR UPDATE ON bursar.events FOR EACH ROW EXECUTE FUNCTION bursar.immutable();
CREATE TRIGGER events_never_emptied BEFORE TRUNCATE ON bursar.events FOR EACH STATEMENT EXECUTE FUNCTION bursar.immutable();
