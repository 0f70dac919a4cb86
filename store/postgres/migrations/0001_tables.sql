-- Tables of bursar. Times are in UTC; a time that is not set is NULL, a text that is not set is empty.
-- Amounts are base units of their asset.

-- One row for each request for money.
CREATE TABLE {schema}.payments (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    "version" bigint NOT NULL CHECK (version > 0),
    "status" text COLLATE "C" NOT NULL,
    livemode boolean NOT NULL,
    asset json,
    amount numeric(78,0) NOT NULL CHECK (amount >= 0),
    required numeric(78,0) NOT NULL CHECK (required >= 0),
    received numeric(78,0) NOT NULL CHECK (received >= 0),
    confirmed numeric(78,0) NOT NULL CHECK (confirmed >= 0),
    shortfall numeric(78,0) NOT NULL CHECK (shortfall >= 0),
    excess numeric(78,0) NOT NULL CHECK (excess >= 0),
    held numeric(78,0) NOT NULL CHECK (held >= 0),
    refunded numeric(78,0) NOT NULL CHECK (refunded >= 0),
    refunding numeric(78,0) NOT NULL CHECK (refunding >= 0),
    required_confirmations bigint NOT NULL,
    confirmations bigint NOT NULL,
    "block" bigint NOT NULL,
    is_final boolean NOT NULL,
    address text COLLATE "C" NOT NULL,
    address_id text COLLATE "C" NOT NULL,
    uri text COLLATE "C" NOT NULL,
    metadata jsonb,
    idempotency_key text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    attempt bigint NOT NULL,
    previous text COLLATE "C" NOT NULL,
    "next" text COLLATE "C" NOT NULL,
    late boolean NOT NULL,
    accepted boolean NOT NULL,
    accept_keys json,
    failure_reason text COLLATE "C" NOT NULL,
    confirmation_no bigint NOT NULL,
    settle_no bigint NOT NULL,
    policy json,
    ttl bigint NOT NULL,
    hold_until timestamptz,
    deadline timestamptz,
    posted_paid numeric(78,0) NOT NULL CHECK (posted_paid >= 0),
    posted_excess numeric(78,0) NOT NULL CHECK (posted_excess >= 0),
    reported_excess numeric(78,0) NOT NULL CHECK (reported_excess >= 0),
    sweep_fee numeric(78,0) NOT NULL CHECK (sweep_fee >= 0),
    seq bigint NOT NULL,
    created_at timestamptz,
    expires_at timestamptz,
    seen_at timestamptz,
    detected_at timestamptz,
    confirmed_at timestamptz,
    settled_at timestamptz,
    expired_at timestamptz,
    canceled_at timestamptz,
    asset_id text COLLATE "C" NOT NULL,
    chain text COLLATE "C" NOT NULL
);

-- One row for each transfer identity: a movement of one asset inside one on-chain transaction.
CREATE TABLE {schema}.transactions (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    "version" bigint NOT NULL CHECK (version > 0),
    chain text COLLATE "C" NOT NULL,
    tx_hash text COLLATE "C" NOT NULL,
    tx_ordinal text COLLATE "C" NOT NULL,
    "type" text COLLATE "C" NOT NULL,
    purpose text COLLATE "C" NOT NULL,
    via text COLLATE "C" NOT NULL,
    "status" text COLLATE "C" NOT NULL,
    failure_reason text COLLATE "C" NOT NULL,
    replaced_by text COLLATE "C" NOT NULL,
    asset text COLLATE "C" NOT NULL,
    amount numeric(78,0) NOT NULL CHECK (amount >= 0),
    from_address text COLLATE "C" NOT NULL,
    to_address text COLLATE "C" NOT NULL,
    address_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    payout_id text COLLATE "C" NOT NULL,
    fee numeric(78,0) NOT NULL CHECK (fee >= 0),
    gas_used bigint NOT NULL,
    gas_price numeric(78,0) NOT NULL CHECK (gas_price >= 0),
    tx_lock text COLLATE "C" NOT NULL,
    "block" bigint NOT NULL,
    block_hash text COLLATE "C" NOT NULL,
    block_time timestamptz,
    tx_index bigint NOT NULL,
    required bigint NOT NULL,
    confirm_at bigint NOT NULL,
    is_final boolean NOT NULL,
    inclusion bigint NOT NULL,
    counting boolean NOT NULL,
    late boolean NOT NULL,
    suspense boolean NOT NULL,
    accepted boolean NOT NULL,
    discharged numeric(78,0) NOT NULL CHECK (discharged >= 0),
    reserved numeric(78,0) NOT NULL CHECK (reserved >= 0),
    missed bigint NOT NULL,
    created_at timestamptz,
    seen_at timestamptz,
    confirmed_at timestamptz,
    sweepable boolean NOT NULL,
    UNIQUE (chain, tx_hash, tx_ordinal)
);

-- Every address that was ever issued. They stay watched for ever.
CREATE TABLE {schema}.addresses (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    "version" bigint NOT NULL CHECK (version > 0),
    address text COLLATE "C" NOT NULL,
    pool text COLLATE "C" NOT NULL,
    address_index bigint NOT NULL,
    key_wallet text COLLATE "C" NOT NULL,
    key_path text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    metadata jsonb,
    tokens_only boolean NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz
);

-- Outgoing movements.
CREATE TABLE {schema}.payouts (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    "version" bigint NOT NULL CHECK (version > 0),
    "key" text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    "status" text COLLATE "C" NOT NULL,
    chain text COLLATE "C" NOT NULL,
    asset json,
    from_account json,
    to_address text COLLATE "C" NOT NULL,
    own_key json,
    sources json,
    amount numeric(78,0) NOT NULL CHECK (amount >= 0),
    less_fee boolean NOT NULL,
    moved numeric(78,0) NOT NULL CHECK (moved >= 0),
    max_fee numeric(78,0) NOT NULL CHECK (max_fee >= 0),
    items json,
    parent text COLLATE "C" NOT NULL,
    approval json,
    attempt_group bigint NOT NULL,
    tries bigint NOT NULL,
    urged bigint NOT NULL,
    canceling boolean NOT NULL,
    tx_id text COLLATE "C" NOT NULL,
    "block" bigint NOT NULL,
    block_hash text COLLATE "C" NOT NULL,
    tx_index bigint NOT NULL,
    fee numeric(78,0) NOT NULL CHECK (fee >= 0),
    gas_used bigint NOT NULL,
    gas_price numeric(78,0) NOT NULL CHECK (gas_price >= 0),
    failure_code text COLLATE "C" NOT NULL,
    failure_reason text COLLATE "C" NOT NULL,
    not_before timestamptz,
    failures bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz,
    sent_at timestamptz,
    included_at timestamptz,
    confirmed_at timestamptz,
    is_open boolean NOT NULL
);

-- Signed transactions of payouts, written before they are first broadcast.
CREATE TABLE {schema}.attempts (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    "version" bigint NOT NULL CHECK (version > 0),
    payout_id text COLLATE "C" NOT NULL,
    attempt_group bigint NOT NULL,
    chain text COLLATE "C" NOT NULL,
    tx_id text COLLATE "C" NOT NULL,
    "raw" bytea NOT NULL,
    "locks" json,
    max_fee numeric(78,0) NOT NULL CHECK (max_fee >= 0),
    cancels boolean NOT NULL,
    is_open boolean NOT NULL,
    last_error text COLLATE "C" NOT NULL,
    created_at timestamptz,
    sent_at timestamptz
);

-- The ledger: double entry, append-only. Only reversed_by is ever set, once.
CREATE TABLE {schema}.entries (
    pos bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE CHECK (id <> ''),
    "rule" text COLLATE "C" NOT NULL,
    asset text COLLATE "C" NOT NULL,
    debit_account text COLLATE "C" NOT NULL,
    credit_account text COLLATE "C" NOT NULL,
    amount numeric(78,0) NOT NULL CHECK (amount >= 0 AND amount > 0),
    subject text COLLATE "C" NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    chain text COLLATE "C" NOT NULL,
    height bigint NOT NULL,
    reverses text COLLATE "C" NOT NULL,
    live_key text COLLATE "C" NOT NULL,
    posted_at timestamptz,
    reversed_by text COLLATE "C" NOT NULL DEFAULT '',
    CHECK (debit_account <> credit_account)
);

-- What was told, a gapless sequence for each subject.
CREATE TABLE {schema}.events (
    pos bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE CHECK (id <> ''),
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    occurred_at timestamptz,
    livemode boolean NOT NULL,
    "data" json,
    UNIQUE (subject, seq)
);

-- The outbox: each event on its way to each notifier.
CREATE TABLE {schema}.deliveries (
    event_id text COLLATE "C" NOT NULL,
    endpoint text COLLATE "C" NOT NULL,
    "version" bigint NOT NULL CHECK (version > 0),
    kind text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    "status" text COLLATE "C" NOT NULL,
    attempts bigint NOT NULL,
    next_at timestamptz,
    leased_until timestamptz,
    first_at timestamptz,
    last_at timestamptz,
    done_at timestamptz,
    last_error text COLLATE "C" NOT NULL,
    created_at timestamptz,
    tries text COLLATE "C" NOT NULL,
    PRIMARY KEY (event_id, endpoint)
);

-- The cursor of each chain and what hangs on it.
CREATE TABLE {schema}.chains (
    chain text COLLATE "C" NOT NULL PRIMARY KEY,
    "version" bigint NOT NULL CHECK (version > 0),
    recent json,
    head json,
    final_height bigint NOT NULL,
    genesis text COLLATE "C" NOT NULL,
    halted text COLLATE "C" NOT NULL,
    halted_at timestamptz,
    halted_from bigint NOT NULL,
    seq bigint NOT NULL,
    assets json,
    started_at timestamptz,
    updated_at timestamptz
);

-- Where events go, as decided at run time; what a row says is sealed.
CREATE TABLE {schema}.endpoints (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    "version" bigint NOT NULL CHECK (version > 0),
    revision bigint NOT NULL UNIQUE CHECK (revision > 0),
    "status" text COLLATE "C" NOT NULL,
    sealed bytea,
    created_at timestamptz,
    updated_at timestamptz
);

-- The first derivation index never handed out, of each index pool.
CREATE TABLE {schema}.pools (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    "next" bigint NOT NULL CHECK (next BETWEEN 0 AND 2147483648)
);

-- The locks of every attempt, to search by.
CREATE TABLE {schema}.attempt_locks (
    attempt_id text COLLATE "C" NOT NULL,
    chain text COLLATE "C" NOT NULL,
    "lock" text COLLATE "C" NOT NULL,
    PRIMARY KEY (attempt_id, chain, "lock")
);

-- The locks of open attempts, each held by one attempt group: nobody else can
-- sign what would spend the same.
CREATE TABLE {schema}.locks (
    chain text COLLATE "C" NOT NULL,
    "lock" text COLLATE "C" NOT NULL,
    payout_id text COLLATE "C" NOT NULL,
    attempt_group bigint NOT NULL,
    PRIMARY KEY (chain, "lock")
);

-- The running sums of the ledger: debits less credits of each account.
CREATE TABLE {schema}.balances (
    asset text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    "sum" numeric(100,0) NOT NULL,
    PRIMARY KEY (asset, account)
);

-- Who holds which work. Epochs only rise.
CREATE TABLE {schema}.leases (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL CHECK (epoch > 0),
    until timestamptz NOT NULL
);

-- What the database knows of itself.
CREATE TABLE {schema}.facts (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    value text COLLATE "C" NOT NULL
);

-- What must be unique. An empty text is no value.
CREATE UNIQUE INDEX payments_idempotency_key ON {schema}.payments (idempotency_key) WHERE idempotency_key <> '';
CREATE UNIQUE INDEX payments_address ON {schema}.payments (address) WHERE address <> '';
CREATE UNIQUE INDEX addresses_address ON {schema}.addresses (address) WHERE address <> '';
CREATE UNIQUE INDEX addresses_idempotency_key ON {schema}.addresses (idempotency_key) WHERE idempotency_key <> '';
CREATE UNIQUE INDEX payouts_key ON {schema}.payouts ("key") WHERE "key" <> '';
-- At most one unreversed credit for each transfer identity.
CREATE UNIQUE INDEX entries_live ON {schema}.entries (live_key) WHERE live_key <> '' AND reverses = '' AND reversed_by = '';

-- What queries search by; lists are read in the order of their index.
CREATE INDEX payments_created ON {schema}.payments (created_at, id);
CREATE INDEX payments_status ON {schema}.payments ("status", created_at, id);
CREATE INDEX payments_asset ON {schema}.payments (asset_id, created_at, id);
CREATE INDEX payments_customer ON {schema}.payments (customer, created_at, id) WHERE customer <> '';
CREATE INDEX payments_due ON {schema}.payments (chain, deadline, id) WHERE deadline IS NOT NULL;
CREATE INDEX payments_metadata ON {schema}.payments USING gin (metadata jsonb_path_ops) WHERE metadata IS NOT NULL;
CREATE INDEX transactions_created ON {schema}.transactions (created_at, id);
CREATE INDEX transactions_chain ON {schema}.transactions (chain, created_at, id);
CREATE INDEX transactions_status ON {schema}.transactions ("status", created_at, id);
CREATE INDEX transactions_type ON {schema}.transactions ("type", created_at, id);
CREATE INDEX transactions_asset ON {schema}.transactions (asset, created_at, id);
CREATE INDEX transactions_hash ON {schema}.transactions (tx_hash);
CREATE INDEX transactions_payment_id ON {schema}.transactions (payment_id, created_at, id) WHERE payment_id <> '';
CREATE INDEX transactions_address_id ON {schema}.transactions (address_id, created_at, id) WHERE address_id <> '';
CREATE INDEX transactions_payout_id ON {schema}.transactions (payout_id, created_at, id) WHERE payout_id <> '';
CREATE INDEX transactions_from_address ON {schema}.transactions (from_address, created_at, id) WHERE from_address <> '';
CREATE INDEX transactions_to_address ON {schema}.transactions (to_address, created_at, id) WHERE to_address <> '';
CREATE INDEX transactions_block ON {schema}.transactions (block_hash) WHERE "status" IN ('confirming', 'confirmed');
CREATE INDEX transactions_confirm ON {schema}.transactions (chain, confirm_at) WHERE "status" = 'confirming';
CREATE INDEX transactions_final ON {schema}.transactions (chain, "block") WHERE "status" = 'confirmed' AND NOT is_final;
CREATE INDEX transactions_sweepable ON {schema}.transactions (chain, created_at, id) WHERE sweepable;
CREATE INDEX addresses_pool ON {schema}.addresses (pool, address_index, id);
CREATE INDEX addresses_customer ON {schema}.addresses (customer, pool, address_index, id) WHERE customer <> '';
CREATE INDEX addresses_role ON {schema}.addresses ("role", pool, address_index, id) WHERE "role" <> 'payment';
CREATE INDEX payouts_created ON {schema}.payouts (created_at, id);
CREATE INDEX payouts_status ON {schema}.payouts ("status", created_at, id);
CREATE INDEX payouts_open ON {schema}.payouts (chain, created_at, id) WHERE is_open;
CREATE INDEX payouts_tx ON {schema}.payouts (tx_id) WHERE tx_id <> '';
CREATE INDEX payouts_block ON {schema}.payouts (block_hash) WHERE block_hash <> '';
CREATE INDEX payouts_parent ON {schema}.payouts (parent) WHERE parent <> '';
CREATE INDEX attempts_payout ON {schema}.attempts (payout_id, created_at, id);
CREATE INDEX attempts_tx ON {schema}.attempts (tx_id);
CREATE INDEX attempts_open ON {schema}.attempts (chain, created_at, id) WHERE is_open;
CREATE INDEX attempt_locks_lock ON {schema}.attempt_locks ("lock", chain);
CREATE INDEX entries_subject ON {schema}.entries (subject, pos);
CREATE INDEX entries_transaction ON {schema}.entries (transaction_id, pos) WHERE transaction_id <> '';
CREATE INDEX entries_asset ON {schema}.entries (asset, pos);
CREATE INDEX balances_account ON {schema}.balances (account);
CREATE INDEX deliveries_due ON {schema}.deliveries (endpoint, next_at, subject, seq, event_id) WHERE "status" IN ('pending', 'parked');
CREATE INDEX deliveries_lane ON {schema}.deliveries (endpoint, subject, seq, event_id) WHERE "status" = 'pending';
CREATE INDEX deliveries_status ON {schema}.deliveries ("status", created_at);
CREATE INDEX deliveries_done ON {schema}.deliveries (done_at) WHERE done_at IS NOT NULL;

-- The ledger and the events are never changed, whoever tries.
CREATE FUNCTION {schema}.immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER entries_immutable BEFORE UPDATE OF pos, id, rule, asset, debit_account, credit_account, amount, subject,
    transaction_id, chain, height, reverses, live_key, posted_at ON {schema}.entries FOR EACH ROW EXECUTE FUNCTION {schema}.immutable();
CREATE TRIGGER entries_reversed_once BEFORE UPDATE OF reversed_by ON {schema}.entries FOR EACH ROW
    WHEN (old.reversed_by <> '') EXECUTE FUNCTION {schema}.immutable();
CREATE TRIGGER entries_kept BEFORE DELETE ON {schema}.entries FOR EACH ROW EXECUTE FUNCTION {schema}.immutable();
CREATE TRIGGER events_immutable BEFORE UPDATE OR DELETE ON {schema}.events FOR EACH ROW EXECUTE FUNCTION {schema}.immutable();
CREATE TRIGGER entries_never_emptied BEFORE TRUNCATE ON {schema}.entries FOR EACH STATEMENT EXECUTE FUNCTION {schema}.immutable();
CREATE TRIGGER events_never_emptied BEFORE TRUNCATE ON {schema}.events FOR EACH STATEMENT EXECUTE FUNCTION {schema}.immutable();
