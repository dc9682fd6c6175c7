//! Adobe's `eventType` strings and what they are called here.

use crate::model::EventName;

/// Adobe's `eventType` strings with our names, matched in any case. Where sources of Adobe's
/// spell one type differently, each spelling has a line.
pub const EVENT_TYPES: &[(&str, EventName)] = &[
    ("web.webpagedetails.pageViews", EventName::PageViewed),
    ("commerce.productViews", EventName::ProductViewed),
    ("searchRequest", EventName::SearchRequested),
    ("searchResponse", EventName::SearchAnswered),
    ("commerce.productListAdds", EventName::CartItemAdded),
    ("commerce.productListOpens", EventName::CartOpened),
    ("commerce.productListRemovals", EventName::CartItemRemoved),
    ("commerce.productListViews", EventName::CartViewed),
    ("commerce.checkouts", EventName::CheckoutStarted),
    ("commerce.purchases", EventName::OrderPlaced),
    ("commerce.saveForLaters", EventName::WishlistItemAdded),
    ("userAccount.login", EventName::CustomerSignedIn),
    ("userAccount.logout", EventName::CustomerSignedOut),
    ("userAccount.createProfile", EventName::CustomerCreated),
    ("userAccount.updateProfile", EventName::CustomerUpdated),
    ("userAccount.deleteProfile", EventName::CustomerDeleted),
    ("commerce.requisitionListOpens", EventName::RequisitionListCreated),
    ("commerce.requisitionListAdds", EventName::RequisitionListItemAdded),
    ("commerce.requisitionListRemovals", EventName::RequisitionListItemRemoved),
    ("commerce.requsitionListRemovals", EventName::RequisitionListItemRemoved),
    ("commerce.requisitionListDeletes", EventName::RequisitionListDeleted),
    ("commerce.backofficeOrderPlaced", EventName::OrderPlaced),
    ("commerce.backofficeOrderInvoiced", EventName::OrderInvoiced),
    ("commerce.backofficeOrderItemsShipped", EventName::OrderShipped),
    ("commerce.backofficeOrderShipmentCompleted", EventName::OrderDelivered),
    ("commerce.backofficeShipmentCompleted", EventName::OrderDelivered),
    ("commerce.backofficeOrderCancelled", EventName::OrderCancelled),
    ("commerce.backofficeOrderCanceled", EventName::OrderCancelled),
    ("commerce.backofficeCreditMemoIssued", EventName::OrderRefunded),
    ("commerce.backofficeOrderItemsReturnInitiated", EventName::OrderReturnStarted),
    ("commerce.backofficeOrderItemsReturnsInitiated", EventName::OrderReturnStarted),
    ("commerce.backofficeOrderItemsReturnCompleted", EventName::OrderReturnCompleted),
    ("commerce.backofficeOrderItemReturnCompleted", EventName::OrderReturnCompleted),
    ("userAccount.backofficeCreateProfile", EventName::CustomerCreated),
    ("userAccount.backofficeUpdateProfile", EventName::CustomerUpdated),
    ("userAccount.backofficeDeleteProfile", EventName::CustomerDeleted),
];

/// Our name for an `eventType`; `None` for one that is not Adobe Commerce's.
pub(super) fn event_name(event_type: &str) -> Option<EventName> {
    EVENT_TYPES
        .iter()
        .find(|(adobe, _)| adobe.eq_ignore_ascii_case(event_type))
        .map(|(_, name)| name.clone())
}

/// Whether it is the shop's server that sends this type, not the shopper's browser or app.
pub(super) fn is_back_office(event_type: &str) -> bool {
    let rest = event_type.split_once('.').map_or(event_type, |(_, rest)| rest);
    rest.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("backoffice"))
}
