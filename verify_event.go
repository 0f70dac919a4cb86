package bursar

// events checks the events of a subject with their deliveries, and hands each
// to hear. seq is what the subject's row, in table, counts.
func (a *auditor) events(table, subject string, seq int64, hear func(Event)) error {
	row := a.row(table, subject)
	last := int64(0)
	for {
		rows, err := a.r.Events(a.ctx, EventQuery{Subject: subject, AfterSeq: last, Limit: auditPage})
		if err != nil {
			return err
		}
		a.count("events", len(rows))
		for _, e := range rows {
			at := a.row("events", e.ID)
			at.same(ruleEventSubject, "Subject", subject, e.Subject)
			at.same(ruleEventSubject, "Data.Subject", subject, e.Data.Subject)
			at.same(ruleEventSeq, "Seq", last+1, e.Seq, "of", subject)
			at.holds(ruleEventID, "ID", hashed("evt_", e.ID), "want evt_ and 32 hex digits")
			hear(e)
			// Whatever the rows say, the walk goes on.
			last = max(last+1, e.Seq)
		}
		if err := a.delivered(rows); err != nil {
			return err
		}
		if len(rows) < auditPage {
			break
		}
	}
	row.same(ruleEventSeq, "Seq", last, seq, "is the number of the last event")
	return nil
}

// delivered checks the deliveries of events.
func (a *auditor) delivered(events []Event) error {
	if len(events) == 0 || len(a.gw.pumps) == 0 && a.gw.directory == nil {
		return nil
	}
	of := make(map[string]Event, len(events))
	ids := make([]string, 0, len(events))
	for _, e := range events {
		of[e.ID] = e
		ids = append(ids, e.ID)
	}
	rows, err := a.r.Deliveries(a.ctx, DeliveryQuery{EventIDs: ids})
	if err != nil {
		return err
	}
	a.count("deliveries", len(rows))
	for _, d := range rows {
		a.delivery(d, of)
	}
	return nil
}

func (a *auditor) delivery(d Delivery, of map[string]Event) {
	row := a.row("deliveries", d.EventID+" "+d.Endpoint)
	e, ok := of[d.EventID]
	row.holds(ruleDeliveryEvent, "EventID", ok, "there is no event %q", d.EventID)
	if ok {
		row.same(ruleDeliveryEvent, "Subject", e.Subject, d.Subject)
		row.same(ruleDeliveryEvent, "Seq", e.Seq, d.Seq)
	}
}

// maxBacklog bounds how many undelivered events are looked at.
const maxBacklog = 10_000

// deliveries looks for undelivered events that do not exist. Those of events
// that do were checked with them.
func (a *auditor) deliveries() error {
	rows, err := listDeliveries(a.ctx, a.r, DeliveryQuery{Statuses: []DeliveryStatus{DeliveryPending, DeliveryParked}, Order: DeliveriesOldest, Limit: maxBacklog})
	if err != nil {
		return err
	}
	if len(rows) == maxBacklog {
		a.skip("undelivered events", "the backlog is too long to look at all of it")
	}
	for len(rows) > 0 {
		part := rows[:min(auditPage, len(rows))]
		rows = rows[len(part):]
		ids := make([]string, 0, len(part))
		for _, d := range part {
			ids = append(ids, d.EventID)
		}
		events, err := a.r.Events(a.ctx, EventQuery{IDs: ids})
		if err != nil {
			return err
		}
		known := make(map[string]bool, len(events))
		for _, e := range events {
			known[e.ID] = true
		}
		for _, d := range part {
			a.row("deliveries", d.EventID+" "+d.Endpoint).holds(ruleDeliveryEvent, "EventID", known[d.EventID], "there is no event %q", d.EventID)
		}
	}
	return nil
}
